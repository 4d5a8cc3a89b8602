"""What `--json` prints is what the documented schema says, and stdout holds nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from data_assets.cli.commands import cli, snapshot
from data_assets.cli.documents import DOCUMENTS, schema
from data_assets.lake.lake import Lake
from data_assets.sandbox.faults import Fault
from data_assets_tests.cli.called import Call
from data_assets_tests.end_to_end.project_folder import SOURCES
from data_assets_tests.lake.minute_days import day_bars, store_day
from data_assets_tests.orchestration.in_process import InProcess, in_process_project, open_project

QQQ = "theta/option_quotes/QQQ"
DAYS = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
BAD = DAYS[1]
JULY = ("--from", DAYS[0], "--to", DAYS[-1])
DOCUMENTED = json.loads((SOURCES / "docs" / "reference" / "json-schema.json").read_text())


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    faults = [Fault(kind="renamed_column", day=date.fromisoformat(BAD), times=2)]
    with in_process_project(tmp_path, faults=faults) as project:
        yield project


def valid(verb: str, document: object) -> Any:
    """The document, if it is one of the verb's."""
    Draft202012Validator({**DOCUMENTED, "$ref": f"#/$defs/{verb}"}).validate(document)
    return document


def test_the_documented_schema_is_that_of_the_code() -> None:
    Draft202012Validator.check_schema(DOCUMENTED)
    assert schema() == DOCUMENTED, (
        "write it anew: python -m data_assets.cli.documents > docs/reference/json-schema.json"
    )
    assert set(DOCUMENTS) <= set(DOCUMENTED["$defs"])


def test_a_document_of_another_shape_is_none() -> None:
    for wrong in ({QQQ: {"missing": []}}, {QQQ: None}, []):
        with pytest.raises(ValidationError):
            valid("gaps", wrong)


def test_every_verb_prints_its_document(project: InProcess, call: Call) -> None:
    """Of one dataset, of several, and of days in several states."""
    of_one = call("backfill", QQQ, *JULY[:2], "--to", DAYS[2], "--json")
    assert of_one.code == 1
    assert set(valid("backfill", of_one.document)["not_stored"]) == {BAD}
    assert [each["dataset"] for each in valid("retry", call("retry", "theta", "--json").document)][-2:] == [
        QQQ,
        "theta/option_quotes/SPX",
    ]

    gaps = valid("gaps", call("gaps", "theta", *JULY, "--json").document)
    assert gaps[QQQ] == {
        "missing": [DAYS[3]],
        "failed": [BAD],
        "lacking": {},
        "unrecorded": [],
        "counts": {"asked": 4, "missing": 1, "failed": 1, "lacking": 0},
        "ranges": {
            "missing": [{"first": DAYS[3], "last": DAYS[3], "count": 1}],
            "failed": [{"first": BAD, "last": BAD, "count": 1}],
            "lacking": [],
        },
    }
    assert gaps["theta/option_eod/SPX"]["ranges"]["missing"] == [{"first": DAYS[0], "last": DAYS[3], "count": 4}]
    months = valid("gaps", call("gaps", "polygon/minute_aggs_monthly", "--to", "2016-10", "--json").document)
    (ranges,) = [each["ranges"] for each in months.values()]
    assert ranges["missing"] == [{"first": "2016-08", "last": "2016-10", "count": 3}]

    assert [row["state"] for row in valid("status", call("status", QQQ, *JULY, "--json").document)[QQQ]["days"]] == [
        "stored",
        "failed",
        "stored",
        "missing",
    ]
    assert valid("status", call("status", "--json").document)[QQQ]["days"] is None
    assert valid("list", call("list", "--json").document)[QQQ]["failed_days"] is None
    (failed,) = valid("list", call("list", QQQ, "--failed", "--json").document)[QQQ]["failed_days"]
    assert (failed["day"], failed["outcome"]) == (BAD, "Rejected")

    project.file(DAYS[0]).write_bytes(b"")
    verified = call("verify", QQQ, "--json")
    assert set(valid("verify", verified.document)[QQQ]["bad"]) == {DAYS[0]}

    file = project.folder / f"QQQ_options_{DAYS[3]}_1m.csv"
    file.write_text("symbol,strike\n")
    imported = call("import", QQQ, str(file), "--json")
    assert set(valid("import", imported.document)["not_stored"]) == {DAYS[3]}


def test_every_verb_that_takes_json_prints_its_document(project: InProcess, call: Call) -> None:
    """What the test above does not print; together they print the documents of all verbs."""
    assert call("backfill", QQQ, *JULY).code == 1
    assert call("retry", QQQ).code == 1
    one_day = ("--from", DAYS[0], "--to", DAYS[0])
    printed = {
        "plan": ("plan", QQQ, *JULY),
        "coverage": ("coverage", QQQ, *JULY),
        "repair": ("repair", QQQ, *JULY),
        "reconcile": ("reconcile", QQQ),
        "doctor": ("doctor", QQQ),
        "offers": ("offers", QQQ, DAYS[0]),
        "export": ("export", "lean", QQQ, *one_day),
        "snapshot-take": ("snapshot", "take", "mine", QQQ, *one_day),
        "snapshot-check": ("snapshot", "check", "mine"),
        "snapshot-list": ("snapshot", "list"),
        "snapshot-prune": ("snapshot", "prune", "--newest", "5", "--yes"),
        "snapshot-drop": ("snapshot", "drop", "mine"),
        "add": ("add", "theta", "QQQ", "quotes"),
    }
    documents = {name: valid(name, call(*arguments, "--json").document) for name, arguments in printed.items()}
    assert documents["snapshot-drop"]["dropped"] == ["mine"]
    assert documents["add"] == {"dataset": QQQ, "added": False, "files": [], "first_day": None, "note": ""}
    lost = ("accept-hole", QQQ, BAD)
    for arguments in ((*lost, "--reason", "the vendor lost it"), ("accept-hole", QQQ, "--list"), (*lost, "--undo")):
        assert valid("accept-hole", call(*arguments, "--json").document) == {QQQ: {BAD: "the vendor lost it"}}

    above = {"backfill", "retry", "gaps", "status", "list", "verify", "import"}
    assert {*printed, "accept-hole", *above, "splits"} == set(DOCUMENTS)


def test_splits_prints_its_document(tmp_path: Path, call: Call) -> None:
    with open_project(tmp_path):
        lake = Lake(str(tmp_path / "lake" / "live"), synthetic=False)
        for day in (date(2024, 7, 1), date(2024, 7, 2)):
            store_day(lake, day, day_bars(day, "SPY"))
        assert valid("splits", call("splits", "polygon/minute_aggs", "--ticker", "SPY", "--json").document) == []


def test_each_verb_with_json_has_a_document() -> None:
    takes_json = {
        f"{prefix}{name}"
        for prefix, commands in (("", cli.commands), ("snapshot-", snapshot.commands))
        for name, command in commands.items()
        if any(option.name == "as_json" for option in command.params)
    }
    assert takes_json == set(DOCUMENTS)
    without = set(cli.commands) - takes_json - {"snapshot"}
    assert without == {"init", "sandbox", "demo"}, "which print no result"
