"""Lakes of the first layout, whose revisions, unfinished work and months readers of a dataset's folder met there.

Everything is moved under its present name, one file at a time, and the lake's marker is written last. So whoever is
killed in between, or meets another process that does the same, leaves a lake that is moved on with next time, and no
file is ever without one of its names. Until then the lake reads months and revisions under their former names.

Here: moving the files. Not here: the names, of then and now (``layout``), and when it is done (`Lake.migrate`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from data_assets.files import tempfiles
from data_assets.lake.layout import present_name
from data_assets.lake.storage import Storage

AT_ONCE = 16
"""Files that are moved at once: in an object store a move is a handful of requests, and a lake may hold many months."""


def move_files(storage: Storage) -> int:
    """Give every file of the first layout its present name, and say how many there were.

    The temporary files of writers that died are removed.

    Raises:
        OSError: from the local disk; what was not reached is moved next time.
        LakeError: from the object store, likewise.
    """
    tempfiles.sweep(storage.former_temp_files())
    moves = [(name, to) for name in storage.names() if (to := present_name(name)) is not None]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda move: storage.move(*move), moves))
    return len(moves)
