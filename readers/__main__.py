"""`python -m readers`: make a lake, let every engine read it, and exit with 1 where one finds something else."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.results import print_table
from readers.content import Content
from readers.environments import ENGINES, Engine, check_python
from readers.synthetic_lake import contents, fill, foreign_encodings


def main() -> None:
    """Print a table of folders and engines, and a line for each difference."""
    check_python()
    started = time.perf_counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="readers-") as folder:
        lake = fill(Path(folder))
        wrong += [f"{path}: encodings of {', '.join(names)}" for path, names in foreign_encodings(lake).items()]
        expected = {name: (where, content) for name, where, content in contents(lake)}
        folders = {name: where for name, (where, _) in expected.items()}
        rows: dict[str, list[str]] = {name: [f"{content['rows']:,}"] for name, (_, content) in expected.items()}
        for engine in ENGINES:
            print(f"reading with {engine.packages[0]}", flush=True)
            found = engine.read(folders)
            for name, (_, content) in expected.items():
                differences = list(_differences(engine, name, content, found[name]))
                rows[name].append("differs" if differences else "same")
                wrong += [f"{engine.packages[0]}, {name}: {difference}" for difference in differences]
    print_table(
        ["folder", "rows", *(engine.packages[0] for engine in ENGINES)], [[name, *row] for name, row in rows.items()]
    )
    for engine in ENGINES:
        for what, shown in engine.shows.items():
            print(f"as known, {engine.packages[0]} shows {what} as {shown}")
    print(f"took {time.perf_counter() - started:.0f} s")
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


def _differences(engine: Engine, dataset: str, expected: Content, found: Content | str) -> Iterator[str]:
    """What an engine shows otherwise than the project's reader does, apart from what it is known to."""
    if isinstance(found, str):
        yield found
        return
    if found["rows"] != expected["rows"]:
        yield f"{found['rows']:,} rows instead of {expected['rows']:,}"
    if set(found["columns"]) != set(expected["columns"]):
        yield f"columns {sorted(found['columns'])} instead of {sorted(expected['columns'])}"
        return
    for name, column in expected["columns"].items():
        wanted = column | {"kind": engine.kind(dataset, name, column["kind"])}
        if found["columns"][name] != wanted:
            yield f"{name}: {found['columns'][name]} instead of {wanted}"
    if found["values"] != expected["values"]:
        yield f"values {found['values']} instead of {expected['values']}"
    for name, texts in expected["folders"].items():
        shown = found["folders"].get(name, [])  # a month may be shown as its first day, a day as its midnight
        if len(shown) != len(texts) or not all(a.startswith(b) for a, b in zip(shown, sorted(texts), strict=True)):
            yield f"{name}: {shown} instead of {texts}"


if __name__ == "__main__":
    main()
