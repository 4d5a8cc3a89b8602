"""`snapshot`: what was used is written down, kept, compared and given up, by commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from jsonschema import Draft202012Validator
from pyiceberg.table import StaticTable

from data_assets import Lake, Snapshot
from data_assets.lake.errors import LakeError
from data_assets.sandbox.faults import Fault
from data_assets_tests.cli.called import Call
from data_assets_tests.end_to_end.project_folder import SOURCES
from data_assets_tests.orchestration.in_process import InProcess, in_process_project

QQQ = "theta/option_quotes/QQQ"
DAYS = ["2024-07-01", "2024-07-02", "2024-07-03"]
JULY = ("--from", DAYS[0], "--to", DAYS[-1])
SCHEMA = json.loads((SOURCES / "docs" / "reference" / "json-schema.json").read_text())


@pytest.fixture
def project(tmp_path: Path, call: Call) -> Iterator[InProcess]:
    """Two of the days are stored; whoever asks for the second one again gets other quotes."""
    faults = [Fault(kind="revised", day=date.fromisoformat(DAYS[1]), skip=1)]
    with in_process_project(tmp_path, faults=faults) as project:
        assert call("backfill", QQQ, "--from", DAYS[0], "--to", DAYS[1]).code == 0
        yield project


def document(verb: str, said: Any) -> Any:
    Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/snapshot-{verb}"}).validate(said)
    return said


def quotes(project: InProcess, snapshot: Snapshot | None = None) -> pl.DataFrame:
    lake = Lake(str(project.folder / "lake" / "live"), synthetic=False, as_of=snapshot)
    return lake.scan(QQQ, date.fromisoformat(DAYS[1]), date.fromisoformat(DAYS[1])).collect()


def test_from_taking_one_to_giving_it_up(project: InProcess, call: Call) -> None:
    taken = call("snapshot", "study", QQQ, *JULY)
    assert not taken.code, taken.stderr
    assert taken.stdout.splitlines()[:2] == [
        f"{QQQ}: 2 days, {DAYS[0]} to {DAYS[1]}",
        f"{QQQ}: 1 day of the range not stored, and so no part of it: {DAYS[2]}",
    ]
    assert taken.stdout.endswith("written to study.snapshot.json\n")
    before = quotes(project)
    written = Snapshot.read(project.folder / "study.snapshot.json")
    assert {check: ended for day in written.days[QQQ].values() for check, ended in day.checks.items()} == dict.fromkeys(
        ["contract_set", "grid", "integrity", "quotes", "timestamps"], "succeeded"
    )
    unchanged = call("snapshot", "check", "study")
    assert (unchanged.code, unchanged.stdout.count("2 of 2 days unchanged")) == (0, 1)

    assert call("backfill", QQQ, *JULY, "--only", "all").code == 0
    checked = call("snapshot", "check", "study.snapshot.json")

    assert checked.code == 1
    rows = {line.split()[1]: line for line in checked.stdout.splitlines() if line.lstrip().startswith(QQQ)}
    assert "rewritten  the same rows in another file" in rows[DAYS[0]]
    assert f"revised    of {before.height:,} rows 0 added, 0 removed, " in rows[DAYS[1]]
    assert "largest price change $" in rows[DAYS[1]]
    assert f"{DAYS[1]} " in rows[DAYS[1]].split("largest price change")[1], "the minute of the contract that it is of"
    assert checked.stdout.endswith("0 of 2 days unchanged, 1 revised, 1 rewritten\n")
    assert quotes(project, written).equals(before)
    assert not quotes(project).equals(before)

    (listed,) = document("list", call("snapshot", "list", "--json").document)
    assert (listed["name"], listed["days"], listed["kept_bytes"]) == ("study", 2, written.size)
    assert "study" in call("snapshot", "list").stdout
    dropped = call("snapshot", "drop", "study")
    assert dropped.stdout.split(":")[0] == "dropped study"
    assert call("snapshot", "list").stdout.startswith("the lake has no snapshot: data-assets snapshot NAME KEY...")
    lost = call("snapshot", "check", "study.snapshot.json")
    assert lost.stdout.count("another file; its rows of then are not kept, so nobody can tell") == 2
    assert lost.stdout.endswith("2 days cannot be read as of it: the lake does not hold what they were\n")
    assert quotes(project).height == before.height


def test_a_table_is_rebuilt_from_a_snapshot(project: InProcess, call: Call, tmp_path: Path) -> None:
    assert not call("snapshot", "study", QQQ, *JULY).code
    before = quotes(project)
    assert call("backfill", QQQ, *JULY, "--only", "all").code == 0
    into = ("--into", str(tmp_path / "warehouse"))
    ended = call("export", "iceberg", QQQ, "--snapshot", "study.snapshot.json", *into, "--json")
    assert ended.code == 0, ended.stderr
    assert ended.document["days"] == DAYS[:2]
    table = StaticTable.from_metadata(str(tmp_path / "warehouse" / "theta" / "option_quotes_QQQ"))
    rows = pl.DataFrame(table.scan(row_filter=f"date = '{DAYS[1]}'").to_arrow())
    assert rows["bid"].sum() == pytest.approx(before["bid"].sum())
    assert rows["bid"].sum() != pytest.approx(quotes(project)["bid"].sum())
    mixed = call("export", "iceberg", QQQ, *into)
    assert (mixed.code, f"{QQQ} with snapshot " in mixed.stderr) == (1, True)
    nowhere = call("export", "iceberg", QQQ, "--snapshot", "study", "--from", DAYS[2], *into)
    assert (nowhere.code, "the snapshot study has no day of it there" in nowhere.stderr) == (2, True)
    unknown = call("export", "iceberg", QQQ, "--snapshot", "other", *into)
    assert (unknown.code, "the lake has no snapshot 'other'; it has study" in unknown.stderr) == (2, True)


def test_a_table_of_days_has_the_states_and_checks_of_the_history(project: InProcess, tmp_path: Path) -> None:
    first, _, last = (date.fromisoformat(day) for day in DAYS)
    lake = Lake(str(project.folder / "lake" / "live"), synthetic=False)
    table = lake.days(QQQ, first, last, project=project.folder)
    assert table["state"].to_list() == ["stored", "stored", "missing"]
    assert table["rows"].to_list() == [*lake.days(QQQ, first, last)["rows"]]
    assert table["checks"].struct.field("quotes").to_list() == ["succeeded", "succeeded", None]
    with pytest.raises(
        LakeError, match=f"{QQQ}: the project {tmp_path / 'none'} cannot tell of its days: .*not a project"
    ):
        lake.days(QQQ, first, last, project=tmp_path / "none")


def test_documents(project: InProcess, call: Call) -> None:
    taken = document("take", call("snapshot", "take", "study", QQQ, *JULY, "--into", "deep.json", "--json").document)
    assert (taken["snapshot"]["days"], taken["not_stored"]) == (2, {QQQ: 1})
    assert Path(taken["file"]) == project.folder / "deep.json"
    assert call("backfill", QQQ, *JULY, "--only", "all").code == 0
    checked = document("check", call("snapshot", "check", "study", "--json").document)
    assert (checked["id"], checked["unchanged"]) == (taken["snapshot"]["id"], 0)
    rewritten, revised = checked["changed"]
    assert (rewritten["change"], rewritten["rows_altered"]) == ("rewritten", 0)
    assert (revised["change"], revised["is_kept"]) == ("revised", True)
    assert revised["largest_price_change"] > 1, "dollars, of a contract"
    assert revised["largest_price_change_in"] == "dollars"
    assert "QQQ 20" in revised["largest_price_change_of"]
    assert " CALL " in revised["largest_price_change_of"] or " PUT " in revised["largest_price_change_of"]
    assert (rewritten["largest_price_change"], rewritten["largest_price_change_of"]) == (0, None)


def test_without_bounds_the_days_that_failed_at_the_end_are_named_and_no_others(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path, faults=[Fault(kind="renamed_column", day=date.fromisoformat(DAYS[1]))]):
        assert call("backfill", QQQ, "--from", DAYS[0], "--to", DAYS[1]).code == 1
        taken = call("snapshot", "study", QQQ)
        assert not taken.code, taken.stderr
        assert taken.stdout.splitlines()[1] == f"{QQQ}: 1 day of the range not stored, and so no part of it: {DAYS[1]}"


def test_a_file_of_two_snapshots_is_no_reason_to_drop_one(project: InProcess, call: Call) -> None:
    for name in ("a", "b"):
        assert not call("snapshot", name, QQQ, *JULY).code
    assert call("backfill", QQQ, *JULY, "--only", "all").code == 0
    kept = call("snapshot", "list", "--json").document[0]["kept_bytes"]
    assert kept
    assert call("snapshot", "prune", "--gb", str(1.5 * kept / 1e9), "--yes").stdout == "nothing to drop\n"


def test_the_oldest_go_first(project: InProcess, call: Call) -> None:
    for name in ("a", "b", "c"):
        assert not call("snapshot", name, QQQ, *JULY).code
        assert call("backfill", QQQ, *JULY, "--only", "all").code == 0
    kept = {each["name"]: each["kept_bytes"] for each in call("snapshot", "list", "--json").document}
    assert call("snapshot", "prune", "--gb", "1", "--days", "1", "--newest", "3").stdout == "nothing to drop\n"
    assert call("snapshot", "prune", "--newest", "2", "--yes").stdout.startswith("to be dropped: a (up to ")
    bound = str((kept["c"] + kept["b"] / 2) / 1e9)
    assert call("snapshot", "prune", "--gb", bound, "--yes").stdout.endswith("dropped 1 snapshot\n")
    assert [each["name"] for each in call("snapshot", "list", "--json").document] == ["c"]
    assert not call("snapshot", "prune", "--days", "0", "--yes").code
    assert call("snapshot", "list", "--json").document == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("study",), "name datasets (KEY...), or say --all"),
        (
            ("study", QQQ, "--from", "2024-07-03", "--to", "2024-07-03"),
            f"the lake does not hold 2024-07-03; run: data-assets backfill {QQQ} --from 2024-07-03 --to 2024-07-03",
        ),
        (("study", "polygon/flat_files/minute_aggs_v1", *JULY), "take polygon/minute_aggs, which holds the same bars"),
        (("a/b", QQQ, *JULY), "is no name for a snapshot"),
        (("study", "theta/option_quotes/QQ"), "there is no dataset 'theta/option_quotes/QQ'"),
        (("study", QQQ, *JULY, "--into", "there.json"), "is there already: give another --into, or remove it"),
        (("study", QQQ, *JULY, "--into", "nowhere/study.json"), "is no folder: give another --into"),
        (("check", "nothing"), "the lake has no snapshot 'nothing'; it has none"),
        (("check", "no/such.json"), "there is no such file, and no snapshot can have that name"),
        (("check", "there.json"), "there.json: is no snapshot"),
        (("drop", "nothing"), "the lake has no snapshot 'nothing'"),
        (("prune",), "say what is to be left"),
        (("prune", "--days", "999999999"), "999999999 is not in the range 0<=x<=100000"),
    ],
)
def test_a_wrong_call_is_one_line_and_changes_nothing(
    project: InProcess, call: Call, arguments: tuple[str, ...], says: str
) -> None:
    (project.folder / "there.json").write_text("mine")
    ended = call("snapshot", *arguments)
    assert (ended.code, ended.stdout) == (2, "")
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert (project.folder / "there.json").read_text() == "mine"
    assert not (project.folder / "study.snapshot.json").exists()
    assert call("snapshot", "list", "--json").document == []


def test_a_damaged_one_is_named_and_dropped(project: InProcess, call: Call) -> None:
    for name in ("study", "torn"):
        assert not call("snapshot", name, QQQ, "--from", DAYS[0], "--to", DAYS[0]).code
    torn = project.folder / "lake" / "live" / "_snapshots" / "torn.json"
    torn.write_text("{")
    listed = call("snapshot", "list")
    assert (listed.code, "study" in listed.stdout) == (1, True)
    assert listed.stderr.count("\n") == 1
    assert "torn.json: is no snapshot" in listed.stderr
    assert listed.stderr.endswith("or give it up: data-assets snapshot drop torn\n")
    pruned = call("snapshot", "prune", "--newest", "0", "--yes")
    assert "no file was freed, as torn may need it and cannot be read: put it back, or give it up" in pruned.stdout
    assert call("snapshot", "drop", "torn").stdout.startswith("dropped torn")
    assert call("snapshot", "list").stdout.startswith("the lake has no snapshot")


@pytest.mark.parametrize("number", ["nan", "inf", "-1", "many"])
def test_what_is_no_number_of_gigabytes(number: str, call: Call) -> None:
    ended = call("snapshot", "prune", "--gb", number, "--yes")
    assert (ended.code, ended.stderr.count("\n")) == (2, 1)


def test_a_lake_that_is_away_is_not_said_to_have_none(project: InProcess, call: Call) -> None:
    assert not call("snapshot", "study", QQQ, *JULY).code
    (project.folder / "lake").rename(project.folder / "away")
    for verb in (("list",), ("prune", "--newest", "0", "--yes"), ("drop", "study")):
        ended = call("snapshot", *verb)
        assert (ended.code, ended.stdout) == (2, ""), ended
        assert "is not there" in ended.stderr


def test_a_lake_that_nobody_has_written_yet_has_none(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path):
        assert call("snapshot", "list").stdout.startswith("the lake has no snapshot")
        assert call("snapshot", "prune", "--newest", "1").stdout == "nothing to drop\n"
