"""What the commands promise to scripts: one JSON document on stdout, and exit 0 or 1 by whether all holds."""

from __future__ import annotations

from data_assets.sandbox.faults import Fault
from data_assets_tests.end_to_end.project_folder import (
    DATASET,
    asked_days,
    document,
    open_days,
    recorded,
    run_statuses,
    sessions,
    span,
)

NOTHING_ELSE = {"holes": [], "not_compared": {}, "unrecorded": [], "elsewhere": [], "error": None}


def test_from_nothing_to_whole(theta, live_project):
    """One project's life: empty, half filled, a day that fails, healed, fetched again."""
    days = sessions("2024-01-02", 4)
    failing, *others = days
    server = theta(faults=[Fault(kind="renamed_column", day=failing, times=1)])
    project = live_project(server)

    def run(*arguments):
        ended = project.run(*arguments, "--json")
        said = document(ended)
        return ended.returncode, open_days(said) if arguments[0] == "gaps" else said

    def asked_by(*arguments):
        before = len(server.requests)
        code, result = run("backfill", DATASET, *arguments)
        return code, result["stored"], sorted(result["not_stored"]), sorted(set(asked_days(server, before)))

    assert run("gaps", DATASET, *span(days)) == (1, {DATASET: {"missing": days, "failed": [], "lacking": {}}})

    # a range of days, and no other
    assert asked_by(*span(others[1:])) == (0, others[1:], [], others[1:])
    # the default: missing and failed days
    code, result = run("backfill", DATASET, *span(days))
    assert (code, result["dataset"], result["stored"]) == (1, DATASET, others[:1])
    assert set(result["not_stored"]) == {failing}
    assert set(result["not_stored"][failing]) == {"outcome", "reason"}
    assert result["not_stored"][failing]["outcome"] == "Rejected"

    code, gaps = run("gaps", "theta", *span(days))
    assert (code, gaps[DATASET]) == (1, {"missing": [], "failed": [failing], "lacking": {}})
    assert {name.split("/")[0] for name in gaps} == {"theta"}
    code, result = run("status", DATASET, *span(days))
    assert code == 1
    counts = {name: result[DATASET][name] for name in ("sessions", "stored", "failed", "missing", "in_progress")}
    assert counts == {"sessions": 4, "stored": 3, "failed": 1, "missing": 0, "in_progress": 0}
    assert [row["state"] for row in result[DATASET]["days"]] == ["failed", "stored", "stored", "stored"]

    assert asked_by(*span(days), "--only", "missing") == (0, [], [], [])
    assert asked_by(*span(days), "--only", "failed") == (0, [failing], [], [failing])
    assert asked_by(*span(days[:2]), "--only", "all") == (0, days[:2], [], days[:2])

    assert run("gaps", DATASET, *span(days)) == (0, {DATASET: {"missing": [], "failed": [], "lacking": {}}})
    assert run("verify", DATASET, *span(days)) == (
        0,
        {DATASET: {"ok": days, "bad": {}, **NOTHING_ELSE}},
    )
    with project.instance() as instance:
        assert sorted(recorded(instance)) == sorted([*days, *days[:2]])
        assert run_statuses(instance) == ["SUCCESS", "FAILURE", "SUCCESS", "SUCCESS"]
