"""What lies in deploy/, and what it starts."""

from __future__ import annotations

import json
import re

import yaml

from data_assets_tests.end_to_end.project_folder import SOURCES

DEPLOY = SOURCES / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def exec_form(name: str) -> list[str]:
    """The words of a step of the Dockerfile."""
    found = re.search(rf"^{name} (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found is not None
    words: list[str] = json.loads(found[1])
    return words


def worker_command(queues: str) -> list[str]:
    """The command of compose.yaml's worker, for some queues and one run at a time."""
    words: list[str] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["worker"]["command"]
    for option, value in (("--queues", queues), ("--concurrency", "1")):
        words[words.index(option) + 1] = value
    return words
