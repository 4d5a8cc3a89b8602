"""What every engine's module does with its input and its output.

Here: JSON in, JSON out, and an error as an answer. Not here: any engine.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from readers.content import Content


def answer(read: Callable[[str], Content]) -> None:
    """Read each folder of the input, by name; of one that cannot be read the answer is its error in one line."""
    contents: dict[str, Content | str] = {}
    for name, folder in json.load(sys.stdin).items():
        try:
            contents[name] = read(folder)
        except Exception as error:  # noqa: BLE001 - whatever an engine raises, the next folder is read
            contents[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    json.dump(contents, sys.stdout)
