"""A stored day that fails a check, or that one warns of, is told as such by every verb; only the first is a fault."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from data_assets.sandbox.faults import Fault
from data_assets_tests.cli.called import Call
from data_assets_tests.orchestration.in_process import ASSET, InProcess, in_process_project

QQQ = ASSET.to_user_string()
WHOLE, SHORT, ODD = "2024-07-01", "2024-07-02", "2024-07-03"
JULY = ("--from", WHOLE, "--to", ODD)
FAULTS = [
    Fault(kind="missing_contract", day=date.fromisoformat(SHORT)),
    Fault(kind="quote_spike", day=date.fromisoformat(ODD)),
]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[InProcess]:
    with in_process_project(tmp_path, faults=FAULTS, contracts=40) as project:
        yield project


def test_its_line_the_summary_the_document_and_the_exit_code_agree(project: InProcess, call: Call) -> None:
    told = call("backfill", QQQ, *JULY)

    assert told.code == 1
    lines = {line.split()[1]: line for line in told.stderr.splitlines() if line[:1] in "✓!"}
    assert re.fullmatch(rf"✓ {WHOLE}  [\d,]+ rows  \S+ .B", lines[WHOLE])
    assert re.fullmatch(rf"! {SHORT}  [\d,]+ rows  \S+ .B  \(2 attempts\)  failed contract_set", lines[SHORT])
    assert re.fullmatch(rf"✓ {ODD}  [\d,]+ rows  \S+ .B  warning: quotes", lines[ODD])
    summary = f"{QQQ}: 3 of 3 days stored, 1 day failed a check (contract_set), 1 day with a warning (quotes)"
    assert summary in told.stderr.splitlines()

    shown = call(*told.printed("what was found: "))

    assert shown.code == 1
    assert re.search(rf"(?m)^{SHORT}  contract_set failed: .*absent", shown.stdout)
    assert re.search(rf"(?m)^{ODD}  quotes warns: ", shown.stdout)
    row = next(line for line in shown.stdout.splitlines() if line.startswith(ODD))
    assert row.rstrip().endswith("warning: quotes")
    for verb in ("gaps", "verify", "repair", "retry", "plan"):
        ended = call(verb, QQQ, *JULY)
        assert ended.code == 0, f"{verb} is about days without a whole file: {ended}"


def test_a_repeated_day_is_judged_by_what_came_last_and_a_warning_is_no_fault(project: InProcess, call: Call) -> None:
    found = call("backfill", QQQ, *JULY, "--json")
    assert (found.code, found.document["failed_checks"], found.document["warned"]) == (
        1,
        {SHORT: ["contract_set"]},
        {ODD: ["quotes"]},
    )

    odd = ("--from", ODD, "--to", ODD)
    again = call("backfill", QQQ, *odd, "--only", "all", "--json")

    assert (again.code, again.document["failed_checks"], again.document["warned"]) == (0, {}, {ODD: ["quotes"]})
    status = call("status", QQQ, *odd, "--json")
    (day,) = status.document[QQQ]["days"]
    assert (status.code, list(day["warned"]), day["failed_checks"]) == (0, ["quotes"], {})


def test_a_run_of_the_ui_says_it_at_its_end(project: InProcess, call: Call) -> None:
    run = project.materialize({"dagster/asset_partition_range_start": WHOLE, "dagster/asset_partition_range_end": ODD})

    assert run.success
    assert "3 of 3 days stored · 1 failed contract_set · 1 warned of by quotes · " in project.messages(run.run_id)


def test_a_reconciled_day_that_fails_a_check_and_a_replacement_that_does_are_faults(tmp_path: Path, call: Call) -> None:
    with in_process_project(tmp_path, faults=FAULTS, contracts=40):
        assert call("backfill", QQQ, *JULY).code == 1
    shutil.rmtree(tmp_path / ".state")
    with in_process_project(tmp_path, faults=FAULTS, contracts=40) as project:
        recorded = call("reconcile", QQQ, "--json")
        assert (recorded.code, recorded.document[QQQ]["recorded"]) == (1, [WHOLE, SHORT, ODD])
        assert recorded.document[QQQ]["failed_checks"] == {SHORT: ["contract_set"]}
        assert recorded.document[QQQ]["warned"] == {ODD: ["quotes"]}
        assert call("reconcile", "--failed").code == 0, "no day is red"
        project.file(SHORT).unlink()

        repaired = call("repair", QQQ, *JULY, "--json")

    assert repaired.code == 1
    assert repaired.document[QQQ]["filled"]["stored"] == [SHORT]
    assert repaired.document[QQQ]["filled"]["failed_checks"] == {SHORT: ["contract_set"]}


def test_several_datasets_are_summed_up_with_their_checks(project: InProcess, call: Call) -> None:
    told = call("backfill", QQQ, "theta/option_eod/SPX", *JULY)

    assert told.code == 1
    row = told.stderr[told.stderr.rindex("dataset ") :].splitlines()[1]
    assert " ".join(row.split()) == f"{QQQ} 3 - 1 failed contract_set, 1 with a warning: quotes"
    assert "6 days stored, 0 not stored, 1 failed a check" in told.stderr
