"""`data-assets import`: an older downloader's files become days like any other, or are refused with the reason."""

from __future__ import annotations

import gzip
import hashlib
import os
import urllib.request
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from data_assets.lake.lake import Lake
from data_assets.orchestration.day_states import DayState
from data_assets.sandbox.faults import Fault
from data_assets_tests.end_to_end.project_folder import (
    ALL_STORED,
    DATASET,
    asked_days,
    document,
    sessions,
)

DAYS = sessions("2024-01-02", 4)


def body(base_url: str, day: str) -> bytes:
    """A day as the older downloader saved it: it left the end of the day to the terminal, which means 16:00."""
    query = f"symbol=QQQ&expiration=*&date={day.replace('-', '')}&interval=1m&format=csv"
    with urllib.request.urlopen(f"{base_url}/option/history/quote?{query}") as answer:
        return answer.read()


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packed:
        packed.write(content)
    return sink.getvalue().to_pybytes()


def file_of(folder: Path, day: str, content: bytes, suffix: str = "") -> Path:
    path = folder / f"QQQ_options_{day}_1m.csv{suffix}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def test_files_of_every_packing_are_days_like_downloaded_ones(theta, live_project, tmp_path):
    server = theta()
    project = live_project(server)
    folder = tmp_path / "old"
    bodies = {day: body(server.base_url, day) for day in DAYS}
    plain = file_of(folder, DAYS[0], bodies[DAYS[0]])
    file_of(folder, DAYS[1], gzip.compress(bodies[DAYS[1]]), ".gz")
    file_of(folder, DAYS[2], zstd(bodies[DAYS[2]]), ".zst")
    assert project.run("backfill", DATASET, "--from", DAYS[3], "--to", DAYS[3]).returncode == 0
    file_of(folder, DAYS[3], b"never looked into")
    (folder / "notes.txt").write_text("mine")
    before = len(server.requests)

    ended = project.run("import", DATASET, str(folder), "--json")

    assert (ended.returncode, ended.stderr.count("stored already and skipped")) == (0, 1), ended.stderr
    assert document(ended) == {
        "dataset": DATASET,
        "stored": DAYS[:3],
        **ALL_STORED,
        "skipped": [DAYS[3]],
        "refused": {},
    }
    paths = {request.path for request in server.requests[before:]}
    assert paths == {"/v3/option/list/contracts/quote"}, "the terminal is asked what a whole day holds, and no more"
    assert sorted(asked_days(server, before)) == DAYS[:3]
    assert project.states(DAYS) == dict.fromkeys(DAYS, DayState.STORED)
    provenance = Lake(str(project.lake_folder), synthetic=False).provenance(DATASET, date.fromisoformat(DAYS[0]))
    assert provenance.source == str(plain)
    assert provenance.raw_sha256 == hashlib.sha256(bodies[DAYS[0]]).hexdigest()
    assert provenance.details["contracts_absent"] == 0
    assert provenance.details["contracts_listed"] > 0
    assert [project.rows(day).height for day in DAYS[:3]] == [bodies[day].count(b"\n") - 1 for day in DAYS[:3]]
    status = document(project.run("status", DATASET, "--from", DAYS[0], "--to", DAYS[2], "--json"))
    assert {tuple(sorted(row["checks"].values())) for row in status[DATASET]["days"]} == {("SUCCEEDED",) * 5}
    assert project.run("verify", DATASET).returncode == 0

    again = project.run("import", DATASET, str(folder), "--json")
    assert (again.returncode, document(again)["stored"]) == (0, [])
    assert document(again)["skipped"] == DAYS


def test_what_is_not_whole_is_refused_and_says_why(theta, live_project, tmp_path):
    server = theta()
    project = live_project(server)
    folder = tmp_path / "old"
    bodies = {day: body(server.base_url, day) for day in DAYS}
    rows = bodies[DAYS[1]].splitlines(keepends=True)
    whole_contracts = b"".join(rows[: 1 + 391 * 2])
    file_of(folder, DAYS[0], bodies[DAYS[0]][:-20])
    file_of(folder, DAYS[1], whole_contracts)
    file_of(folder, DAYS[2], gzip.compress(bodies[DAYS[2]])[:-500], ".gz")
    file_of(folder, DAYS[3], zstd(bodies[DAYS[3]])[:-500], ".zst")
    other_day = file_of(folder, sessions("2024-01-08", 1)[0], bodies[DAYS[0]])
    holiday = file_of(folder, "2024-01-01", bodies[DAYS[0]])
    other_symbol = folder / "SPY_options_2024-01-02_1m.csv"
    other_symbol.write_bytes(b"")
    garbage = file_of(folder, sessions("2024-01-09", 1)[0], b"<html>sign in</html>\n")

    ended = project.run("import", DATASET, str(folder), "--json")

    result = document(ended)
    assert (ended.returncode, result["stored"]) == (1, [])
    assert {outcome["outcome"] for outcome in result["not_stored"].values()} == {"Rejected"}
    reasons = {day: outcome["reason"] for day, outcome in result["not_stored"].items()}
    for day, said in {
        DAYS[0]: "its last line is cut",
        DAYS[1]: "listed contracts are absent",
        DAYS[2]: "stopped short",
        DAYS[3]: "stopped short",
        other_day.name[12:22]: "rows are of 2024-01-02, and not of 2024-01-08",
        garbage.name[12:22]: "the header lacks symbol",
    }.items():
        assert said in reasons.pop(day)
    assert reasons == {}
    assert set(result["refused"]) == {str(holiday), str(other_symbol)}
    assert "market holiday" in result["refused"][str(holiday)]
    assert "QQQ_options_YYYY-MM-DD_1m.csv" in result["refused"][str(other_symbol)]
    assert project.files() == []
    assert project.temp_files() == []
    assert project.states(DAYS) == dict.fromkeys(DAYS, DayState.FAILED)


def test_damaged_packings_do_not_keep_the_others_from_being_read(theta, live_project, tmp_path):
    server = theta()
    project = live_project(server)
    folder = tmp_path / "old"
    for day in DAYS[1:]:
        packed = bytearray(gzip.compress(body(server.base_url, day)))
        packed[10] = 0xFF  # a block of no known type
        file_of(folder, day, bytes(packed), ".gz")
    file_of(folder, DAYS[0], body(server.base_url, DAYS[0]))

    result = document(project.run("import", DATASET, str(folder), "--json"))

    assert result["stored"] == [DAYS[0]]
    assert {day: each["outcome"] for day, each in result["not_stored"].items()} == dict.fromkeys(DAYS[1:], "Rejected")
    assert all("is damaged" in each["reason"] for each in result["not_stored"].values())


def test_a_terminal_that_stumbles_once_is_asked_again_for_its_list(theta, live_project, tmp_path):
    server = theta(faults=[Fault(kind="status", status=500, endpoint="option/list/contracts/quote", times=1)])
    project = live_project(server)
    rows = body(server.base_url, DAYS[0]).splitlines(keepends=True)
    path = file_of(tmp_path / "old", DAYS[0], b"".join(rows[: 1 + 391 * 2]))

    result = document(project.run("import", DATASET, str(path), "--json"))

    assert result["stored"] == []
    assert "listed contracts are absent" in result["not_stored"][DAYS[0]]["reason"]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_one_file_without_a_terminal_is_stored_and_nobody_can_tell(theta, live_project, tmp_path, suffix):
    server = theta()
    content = body(server.base_url, DAYS[0])
    path = file_of(tmp_path / "old", DAYS[0], gzip.compress(content) if suffix else content, suffix)
    project = live_project(server, THETA_BASE_URL="http://127.0.0.1:1/v3")

    ended = project.run("import", DATASET, os.path.relpath(path, project.folder), "--json")

    assert document(ended)["stored"] == [DAYS[0]], ended.stderr
    provenance = Lake(str(project.lake_folder), synthetic=False).provenance(DATASET, date.fromisoformat(DAYS[0]))
    assert provenance.details["contract_list"].startswith("cannot tell: the terminal has no list to give: ")


@pytest.mark.parametrize(
    ("arguments", "profile", "says"),
    [
        ((DATASET, "."), "sandbox", "DATA_ASSETS_PROFILE=live"),
        (("ib/bars_1m/AAPL", "."), "live", f"what can: {DATASET}"),
        ((DATASET, "nowhere"), "live", "nowhere"),
    ],
)
def test_a_wrong_call_is_one_line(new_project, arguments, profile, says):
    ended = new_project(DATA_ASSETS_PROFILE=profile).run("import", *arguments)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1
