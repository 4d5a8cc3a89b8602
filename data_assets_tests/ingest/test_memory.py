"""The share of memory in use, in containers of both kinds."""

from pathlib import Path

import psutil
import pytest

from data_assets.ingest.memory import memory_in_use

GB = 1 << 30
V1_NO_LIMIT = 9223372036854771712


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "cgroup", tmp_path / "mount"


def share(machine: tuple[Path, Path], said: str) -> float:
    machine[0].write_text(said)
    return memory_in_use(*machine)


def test_this_process_has_a_share():
    assert 0 < memory_in_use() < 1


def test_version_2_counts_the_tightest_group_without_what_is_kept_of_files(machine):
    group(machine[1] / "pod", memory__max=4 * GB, memory__current=GB)
    group(machine[1] / "pod/box", memory__max=GB, memory__current=GB, memory__stat=f"anon 1\ninactive_file {GB // 50}")

    assert share(machine, "0::/pod/box\n") == pytest.approx(0.98)


def test_version_2_in_a_container_that_sees_its_own_group_as_the_root(machine):
    group(machine[1], memory__max=GB, memory__current=GB - 1)

    assert share(machine, "0::/\n") == pytest.approx(1)


def test_version_1(machine):
    group(machine[1] / "memory/box", **{"memory__limit_in_bytes": GB, "memory__usage_in_bytes": GB})

    assert share(machine, "12:pids:/\n4:cpu,memory:/box\n0::/\n") == 1


def test_version_1_of_a_container_whose_path_is_that_of_its_host(machine):
    group(machine[1] / "memory", **{"memory__limit_in_bytes": GB, "memory__usage_in_bytes": GB})

    assert share(machine, "4:memory:/docker/0123\n") == 1


@pytest.mark.parametrize(
    ("said", "folder", "files"),
    [
        ("0::/box\n", "box", {"memory__max": "max", "memory__current": 10**15}),
        ("4:memory:/\n", "memory", {"memory__limit_in_bytes": V1_NO_LIMIT, "memory__usage_in_bytes": 10**18}),
        ("0::/elsewhere\n", "box", {"memory__max": 1, "memory__current": 1}),
        ("", "box", {}),
    ],
    ids=["no limit", "no limit, version 1", "not mounted", "no groups"],
)
def test_without_a_limit_the_machine_counts(machine, said, folder, files):
    group(machine[1] / folder, **files)

    assert share(machine, said) == pytest.approx(psutil.virtual_memory().percent / 100, abs=0.2)


def test_without_control_groups_the_machine_counts(machine):
    assert 0 < memory_in_use(*machine) < 1
