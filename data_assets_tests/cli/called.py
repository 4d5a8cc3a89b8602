"""The command in the test's own process: what it ends with, and what it says.

Here: calling it. Not here: any project, and any expectation.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from data_assets.cli import main


@dataclass(frozen=True)
class Called:
    """How a call ended."""

    code: object
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The JSON document that is all of stdout."""
        assert self.stdout.count("\n") == 1, self.stdout
        return json.loads(self.stdout)

    def printed(self, sentence: str) -> list[str]:
        """The arguments of the command that stands behind `sentence`."""
        found = [line.split(sentence, 1)[1] for line in (self.stdout + self.stderr).splitlines() if sentence in line]
        assert found, self
        command, *arguments = shlex.split(found[-1])
        assert command == "data-assets"
        return arguments


Call = Callable[..., Called]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls the command as its executable does, in the folder and with the variables that the test has set."""
    monkeypatch.setattr("signal.signal", lambda *_: None)  # pytest's own Ctrl-C stays
    for switch in ("disable", "enable", "freeze", "set_threshold"):  # the tests' own process goes on
        monkeypatch.setattr(f"gc.{switch}", lambda *_: None)

    def call(*arguments: str) -> Called:
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["data-assets", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        return Called(ended.value.code, *capfd.readouterr())

    return call
