"""(d) What a day costs that holds next to nothing: the engine and Dagster's event log, on tiny days.

Real runs of 50 days, as the command makes them, beside the same runs with Dagster's own SQLite storage, beside the same
days through the engine with nobody recording them, and beside what Dagster does by default: a run per day.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from statistics import median

from benchmarks.inputs import scratch_folder, theta_server
from benchmarks.results import Result, at_most, print_table
from benchmarks.work import Measured, Worker, dagster_folder, live
from data_assets.orchestration.partitions import DAYS_PER_RUN, partition_keys

CONTRACTS = 4
FIRST, LAST = date(2016, 8, 4), date(2024, 8, 2)
RUNS = 4
RUNS_PER_DAY_SAMPLE = 5
EVENTS_MILLISECONDS, HISTORY_KILOBYTES = 48.0, 40.0

_OURS = """storage:
  custom:
    module: data_assets.orchestration.state_storage
    class: RunHistory
"""


def run() -> list[Result]:
    """The newest days, run by run, with either storage in turn."""
    days = partition_keys(FIRST, LAST)[-RUNS * DAYS_PER_RUN :]
    runs = [days[start : start + DAYS_PER_RUN] for start in range(0, len(days), DAYS_PER_RUN)]
    with scratch_folder() as folder, theta_server(CONTRACTS) as base_url:
        with dagster_folder(folder / "project") as project, dagster_folder(folder / "plain") as plain:
            _use_dagsters_own(plain)
            done: list[Measured] = []
            instead: list[Measured] = []
            for chunk in runs:
                for place, measured in ((project, done), (plain, instead)):
                    measured.append(_once("recorded", chunk[0], chunk[-1], folder=place, **live(place, base_url)))
            kilobytes = _bytes_below(project / ".state" / "storage") / len(days) / 1000
            singles = [
                _once("recorded", day, day, folder=project, **live(project, base_url))
                for day in days[-RUNS_PER_DAY_SAMPLE:]
            ]
        bare = _once("published", base_url, days[0], days[-1], folder=folder)

    count = len(days)
    total, events, recording = (sum(each[what] for each in done) for what in ("seconds", "in_events", "in_recording"))
    milliseconds = 1000 / count
    print(f"{count:,} tiny days of {CONTRACTS} contracts, in {len(done)} runs of at most {DAYS_PER_RUN}")
    print_table(
        ["per day", "milliseconds", "share"],
        [
            [name, f"{value:.0f}", f"{value / (total * milliseconds):.0%}"]
            for name, value in {
                "runs of 50, all of it": total * milliseconds,
                f"  event log: {sum(each['events'] for each in done) / count:.0f} events": events * milliseconds,
                "  beyond that: the file read back, judged and shown": (recording - events) * milliseconds,
                "  the rest: run start, planned events, waiting for the engine": (total - recording) * milliseconds,
                "the same with Dagster's own storage": sum(each["seconds"] for each in instead) * milliseconds,
                "  event log": sum(each["in_events"] for each in instead) * milliseconds,
                "the same days with nobody recording": bare["seconds"] * 1000 / bare["days"],
                f"instead, a run per day (sample of {len(singles)})": 1000
                * sum(each["seconds"] for each in singles)
                / len(singles),
            }.items()
        ],
    )

    def ratio(what: str) -> float:
        return median(each[what] / other[what] for each, other in zip(done, instead, strict=True))

    return [
        Result(f"(d) a tiny day in runs of 50, over {count:,} days", f"{total * milliseconds:.0f} ms"),
        at_most("(d) of that, the event log", events * milliseconds, EVENTS_MILLISECONDS, "{:.0f} ms"),
        Result("(d) the event log over Dagster's own SQLite storage", f"{ratio('in_events'):.2f}"),
        Result("(d) the whole day over that with Dagster's own storage", f"{ratio('seconds'):.2f}"),
        at_most("(d) the history of a day on disk", kilobytes, HISTORY_KILOBYTES, "{:.0f} kB"),
        Result("(d) the engine alone, nobody recording", f"{bare['seconds'] * 1000 / bare['days']:.0f} ms"),
    ]


def _use_dagsters_own(project: Path) -> None:
    """Let a project's history lie in the storage that Dagster has by default."""
    configuration = project / "dagster.yaml"
    text = configuration.read_text()
    own = f"storage:\n  sqlite:\n    base_dir: {project / '.state' / 'storage'}\n"
    if _OURS not in text:
        raise RuntimeError(f"{configuration} names another storage than this benchmark replaces")
    configuration.write_text(text.replace(_OURS, own))


def _bytes_below(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def _once(kind: str, *arguments: str, folder: Path, **environment: str) -> Measured:
    with Worker(kind, *arguments, folder=folder, **environment) as worker:
        return worker.once()
