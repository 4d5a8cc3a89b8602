"""The ways in which a day does not store, through the whole chain: the result, the grid, the day's page, `status`."""

from __future__ import annotations

from datetime import date

import dagster as dg

from data_assets.orchestration.day_states import DayState
from data_assets.sandbox.faults import Fault
from data_assets_tests.end_to_end.project_folder import (
    ASSET,
    DATASET,
    asked_days,
    document,
    run_statuses,
    sessions,
    span,
)


def day_pages(instance: dg.DagsterInstance, days: list[str]) -> dict[str, tuple[str, str]]:
    """Outcome and reason as the UI shows them on the page of each day that did not store."""
    pages = {}
    for day in days:
        (record,) = instance.fetch_observations(dg.AssetRecordsFilter(ASSET, asset_partitions=[day]), limit=9).records
        observation = record.asset_observation
        outcome, reason = (str(observation.metadata[name].value) for name in ("outcome", "reason"))
        assert observation.description == f"{outcome}: {reason}"
        pages[day] = (outcome, reason)
    return pages


def test_a_rejected_a_failed_and_a_refused_day(theta, live_project):
    days = sessions("2024-01-02", 6)
    older, oldest, refused, cut, renamed, good = days[1], days[0], days[2], days[3], days[4], days[5]
    server = theta(
        faults=[
            Fault(kind="renamed_column", day=renamed),
            Fault(kind="cut", day=cut),
            Fault(kind="status", status=403, day=refused),
        ]
    )
    project = live_project(server, THETA_MAX_CONCURRENT_REQUESTS="1")

    ended = project.run("backfill", DATASET, *span(days), "--json")

    assert ended.returncode == 1
    result = document(ended)
    assert result["dataset"] == DATASET
    assert result["stored"] == [good]
    not_stored = result["not_stored"]
    assert {day: why["outcome"] for day, why in not_stored.items()} == {
        renamed: "Rejected",
        cut: "Failed",
        refused: "NotEntitled",
        older: "NotEntitled",
        oldest: "NotEntitled",
    }
    assert "bid_price" in not_stored[renamed]["reason"]
    assert "stopped short" in not_stored[cut]["reason"]
    assert "403" in not_stored[refused]["reason"]
    assert not_stored[oldest]["reason"].startswith("not asked")
    assert asked_days(server).count(cut) > asked_days(server).count(renamed), "what stops short is asked for again"
    assert not {older, oldest} & set(asked_days(server))
    assert project.files() == [good]
    assert project.temp_files() == []
    assert project.states(days) == {day: DayState.STORED if day == good else DayState.FAILED for day in days}

    open_days = days[:-1]
    with project.instance() as instance:
        pages = day_pages(instance, open_days)
    shown = project.run("status", DATASET, *span(days), "--json")
    assert shown.returncode == 1
    rows = {row["day"]: row for row in document(shown)[DATASET]["days"]}
    for day in open_days:
        why = (not_stored[day]["outcome"], not_stored[day]["reason"])
        assert pages[day] == why
        assert (rows[day]["state"], rows[day]["outcome"], rows[day]["reason"]) == ("failed", *why)
    assert (rows[good]["state"], rows[good]["outcome"]) == ("stored", None)
    assert set(rows[good]["checks"].values()) == {"SUCCEEDED"}
    for_people = project.run("status", DATASET, *span(days)).stdout
    assert "Rejected: the header lacks bid" in " ".join(for_people.split())


def test_twenty_days_without_data_end_the_backfill(theta, live_project):
    days = sessions("2024-01-02", 34)
    first_with_data = days[-3]
    server = theta(first_day=date.fromisoformat(first_with_data))
    project = live_project(server)

    ended = project.run("backfill", DATASET, *span(days), "--json")

    assert ended.returncode == 1
    result = document(ended)
    assert result["stored"] == days[-3:]
    assert sorted(result["not_stored"]) == days[:-3]
    assert {why["outcome"] for why in result["not_stored"].values()} == {"NoData"}
    not_asked = [day for day, why in result["not_stored"].items() if why["reason"].startswith("not asked")]
    assert not_asked == days[: len(not_asked)], "the oldest days"
    assert len(not_asked) >= 34 - 3 - 20 - 4, "four may have been under way when the twentieth answer came"
    assert not set(not_asked) & set(asked_days(server))
    assert f"the vendor has data from {first_with_data} on" in result["not_stored"][days[0]]["reason"]
    with project.instance() as instance:
        pages = day_pages(instance, days[:-3])
        assert run_statuses(instance) == ["FAILURE"]
    assert pages == {day: (why["outcome"], why["reason"]) for day, why in result["not_stored"].items()}
