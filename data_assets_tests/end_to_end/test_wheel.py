"""The wheel alone, in an empty environment: a project is made, filled, looked at, and shown in the UI.

The environment holds the wheel as pip installs it, and of this environment's distributions those that the wheel's own
metadata ask for without an extra, each by a link: no network, no checkout on the path, and nothing of the sandbox.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path
from typing import NamedTuple

import pytest
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.tags import mac_platforms
from packaging.utils import canonicalize_name

from data_assets.compiled import library_path
from data_assets.sandbox.serving import SandboxTheta
from data_assets_tests.compiled_code import needs_compiler
from data_assets_tests.end_to_end.project_folder import SOURCES, Project, document, live, sessions, span
from data_assets_tests.orchestration.dagster_dev import GRID, LOCATION, DagsterDev
from hatch_build import CompiledFiles

ADDED = "theta/option_quotes/IWM"
BLOCK = "type: data_assets.vendors.theta.component.ThetaDataset\nattributes: {dataset: quotes, symbol: IWM}\n"
DAYS = sessions("2024-07-01", 2)
OF_THE_SANDBOX_ALONE = {"moto", "flask", "flask-cors", "werkzeug", "botocore"}

ASSETS = """query ($of: RepositorySelector!) { repositoryOrError(repositorySelector: $of) {
    ... on Repository { assetNodes { assetKey { path } } } } }"""


class Installed(NamedTuple):
    """An environment with the wheel in it.

    Attributes:
        executables: its `bin`.
        packages: its `site-packages`.
        distributions: the names of all that is installed beside the wheel.
    """

    executables: Path
    packages: Path
    distributions: set[str]


class InstalledProject(Project):
    """A folder in which the environment's command runs; what is in it, the command has written."""

    def __init__(self, folder: Path, installed: Installed, **environment: str) -> None:
        self.folder = folder
        self.environment = environment
        self._installed = installed
        self._started = []

    def run(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run the environment's command to its end."""
        return self.start_program(str(self._installed.executables / "data-assets"), *arguments, **options).end()


def needed(wheel: Distribution) -> dict[str, Distribution]:
    """What a distribution needs without extras, and all that this needs in turn, by name."""
    found: dict[str, Distribution] = {}
    asked = [(wheel, frozenset[str]())]
    seen = set()
    while asked:
        each, extras = asked.pop()
        for text in each.requires or ():
            requirement = Requirement(text)
            environments = [{"extra": extra} for extra in extras] or [{"extra": ""}]
            if requirement.marker and not any(requirement.marker.evaluate(one) for one in environments):
                continue
            name, of_it = canonicalize_name(requirement.name), frozenset(requirement.extras)
            if (name, of_it) not in seen:
                seen.add((name, of_it))
                found[name] = distribution(name)
                asked.append((found[name], of_it))
    return found


def build(target: str, folder: Path, sources: Path = SOURCES, **environment: str) -> Path:
    """Build the package as pip does, and return the one file that this gives."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=sources, env=os.environ | environment, check=True, capture_output=True)
    (built,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build("wheel", folder)
    venv.create(folder / "env", with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "env" / "bin" / "python"), "--isolated"]
    install = [*pip, "install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    (metadata,) = packages.glob("data_assets-*.dist-info")
    found = needed(PathDistribution(metadata))
    for each in found.values():
        for name in {path.parts[0] for path in each.files or () if path.parts[0] not in ("..", "__pycache__")}:
            if not (packages / name).exists():
                (packages / name).symlink_to(each.locate_file(name))
    command = folder / "env" / "bin" / "dagster"
    command.write_text(f"#!{command.with_name('python')}\nfrom dagster._cli import main\nmain()\n")
    command.chmod(0o755)
    return Installed(command.parent, packages, set(found))


@pytest.fixture
def project(installed: Installed, tmp_path: Path) -> Iterator[InstalledProject]:
    home = tmp_path / "home"
    home.mkdir()
    project = InstalledProject(
        tmp_path / "project", installed, HOME=str(home), PYTHONPATH="", PYTHONDONTWRITEBYTECODE="1"
    )
    yield project
    project.close()


def listing(folder: Path) -> set[str]:
    """Every file below a folder, links not followed."""
    return {f"{at}/{name}" for at, _, names in os.walk(folder) for name in names}


def test_the_base_install_is_whole_and_has_nothing_of_the_sandbox(installed: Installed) -> None:
    assert installed.distributions & OF_THE_SANDBOX_ALONE == set()
    # what a run of the sandbox profile, and so the demo, starts
    simulators = (
        "import data_assets.sandbox.serving, data_assets.sandbox.flat_files.files, data_assets.sandbox.tws.serving"
    )
    program = f"{simulators}; import data_assets, sys; print(data_assets.__file__, 'moto' in sys.modules)"
    said = subprocess.run(
        [installed.executables / "python", "-c", program], cwd="/", capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == [str(installed.packages / "data_assets" / "__init__.py"), "False"]


def test_a_project_is_made_filled_and_shown(installed: Installed, project: InstalledProject, tmp_path: Path) -> None:
    made = project.run("init", str(project.folder), cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    before = listing(installed.packages)
    (project.folder / "defs" / "iwm").mkdir()
    (project.folder / "defs" / "iwm" / "defs.yaml").write_text(BLOCK)
    (project.folder / ".env").open("a").write("\nDATA_ASSETS_STATE=../state\n")

    with SandboxTheta(contracts=8, says_synthetic=False) as theta:
        project.environment.update(live(theta.base_url))
        filled = project.run("backfill", ADDED, *span(DAYS), "--json")
    assert (filled.returncode, document(filled)["stored"]) == (0, DAYS), filled.stderr
    told = project.run("status", ADDED, *span(DAYS), "--json", "--project", "project", cwd=tmp_path)
    assert [row["state"] for row in document(told)[ADDED]["days"]] == ["stored", "stored"], told.stderr

    dev = DagsterDev(project, installed.executables)
    try:
        dev.start()
        nodes = dev.graphql(ASSETS, of=LOCATION)["repositoryOrError"]["assetNodes"]
        assert ADDED.split("/") in [node["assetKey"]["path"] for node in nodes]
        key = {"path": ADDED.split("/")}
        assert dev.graphql(GRID, key=key)["assetNodeOrError"]["partitionStats"]["numMaterialized"] == len(DAYS)
    finally:
        dev.cut_the_power()

    assert (tmp_path / "state" / "storage").is_dir()
    assert not (project.folder / ".state").exists()
    assert listing(tmp_path / "home") == set()
    assert listing(installed.packages) == before, "nothing is written beside the package"


def test_the_wheel_says_what_it_is(installed: Installed, project: InstalledProject) -> None:
    (metadata,) = installed.packages.glob("data_assets-*.dist-info")
    wheel = PathDistribution(metadata)
    assert project.run("--version", cwd="/").stdout == f"data-assets {wheel.version}\n"
    assert wheel.metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in (metadata / "licenses" / "LICENSE").read_text()
    assert (installed.packages / "data_assets" / "py.typed").exists()


def test_without_its_extra_the_sandbox_says_what_to_install(installed: Installed, project: InstalledProject) -> None:
    refused = project.run("sandbox", cwd="/")

    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("Error: ")
    assert "pip install 'data-assets[sandbox]'" in line


READS = """
from datetime import date
from data_assets import compiled
from data_assets.vendors.theta.schema import OPEN_INTEREST, Asked, read_rows
from data_assets.vendors.theta.strict_lines import is_compiled
body = b"symbol,expiration,strike,right,timestamp,open_interest\\nA,2024-11-08,2.5,PUT,2024-11-04T06:30:00,7\\n"
rows, _ = read_rows(OPEN_INTEREST, body, Asked("A", date(2024, 11, 4)))
print(compiled.__file__, is_compiled(), rows["open_interest"].item())
"""


def reads(installed: Installed, packages: Path) -> str:
    """Whether a line is read by compiled code, and as what, where the package is that of a folder."""
    environment = os.environ | {"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [installed.executables / "python", "-c", READS]
    said = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"{packages}/data_assets/compiled.py ")
    return said.removeprefix(f"{packages}/data_assets/compiled.py ").strip()


def libraries(packages: Path) -> set[str]:
    return {str(path.relative_to(packages)) for path in (packages / "data_assets").rglob("*.so")}


def expected_libraries(packages: Path) -> set[str]:
    return {str(library_path(path).relative_to(packages)) for path in (packages / "data_assets").rglob("*.c")}


@needs_compiler
def test_the_wheel_has_the_compiled_code_and_is_one_for_this_kind_of_machine(installed: Installed) -> None:
    assert libraries(installed.packages) == expected_libraries(installed.packages) != set()
    assert reads(installed, installed.packages) == "True 7"
    (metadata,) = installed.packages.glob("data_assets-*.dist-info")
    wheel = (metadata / "WHEEL").read_text()
    assert "Root-Is-Purelib: false" in wheel
    assert "Tag: py3-none-any" not in wheel


@pytest.mark.parametrize("compiler", ["/nonexistent", """sh -c 'printf "\\377" >&2; exit 1'"""])
def test_without_a_compiler_the_wheel_is_one_for_any_machine_and_works(
    installed: Installed, tmp_path: Path, compiler: str
) -> None:
    wheel = build("wheel", tmp_path, CC=compiler)
    assert wheel.name.endswith("-py3-none-any.whl")
    packages = tmp_path / "packages"
    zipfile.ZipFile(wheel).extractall(packages)
    assert libraries(packages) == set()
    assert reads(installed, packages) == "False 7"


@needs_compiler
@pytest.mark.parametrize("python", ["macosx-11.1-arm64", "macosx-11-universal2", "macosx-10.13-universal2"])
def test_on_a_mac_the_wheel_is_one_for_its_processor_that_pip_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    (tmp_path / "data_assets").mkdir()
    for name in ("data_assets/compiled.py", "data_assets/vendors/theta/strict_lines.c"):
        shutil.copy(SOURCES / name, tmp_path / "data_assets")
    with monkeypatch.context() as patch:  # not `sys.platform`, by which other modules choose what they import
        patch.setattr(platform, "system", lambda: "Darwin")
        patch.setattr(platform, "mac_ver", lambda: ("14.5", ("", "", ""), "arm64"))
        patch.setattr(sysconfig, "get_platform", lambda: python)
        builder = WheelBuilder(str(tmp_path), config={"project": {"name": "data_assets", "version": "1"}})
        hook = CompiledFiles(str(tmp_path), {}, builder.config, builder.metadata, str(tmp_path), "wheel", builder.app)
        built = {"artifacts": []}
        hook.initialize("standard", built)
    assert built["tag"] in {f"py3-none-{each}" for each in mac_platforms((14, 5), "arm64") if each.endswith("_arm64")}


@needs_compiler
def test_a_library_of_other_code_is_never_loaded_and_the_next_build_replaces_it(
    installed: Installed, tmp_path: Path
) -> None:
    shutil.unpack_archive(build("sdist", tmp_path), tmp_path)
    (sources,) = tmp_path.glob("data_assets-*/")
    first = zipfile.ZipFile(build("wheel", tmp_path / "first", sources)).namelist()
    assert reads(installed, sources) == "True 7"
    before = libraries(sources)

    code = sources / "data_assets" / "vendors" / "theta" / "strict_lines.c"
    code.write_text(f"{code.read_text()}/* changed */\n")
    assert reads(installed, sources) == "False 7"

    second = zipfile.ZipFile(build("wheel", tmp_path / "second", sources)).namelist()
    assert reads(installed, sources) == "True 7"
    (gone,) = before - libraries(sources)
    (made,) = libraries(sources) - before
    assert set(first) - set(second) == {gone}
    assert set(second) - set(first) == {made}
