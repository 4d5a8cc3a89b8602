"""The text form of the TWS socket protocol: frames, and the fields in them.

Here: bytes to fields and back, as they go over the wire at server version 178. Not here: what a message means
(``tws.requests``), and what is answered (``tws.server``).

A frame is its length as four bytes, most significant first, and so many bytes of payload. A payload is fields, each
ended by a NUL; the client's first frame alone, the versions it speaks, is bare text and follows four bytes of preamble.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

SERVER_VERSION = 178
"""The newest version ib_async 2.1 speaks; a real TWS answers with the lower of its own and the client's."""

PREAMBLE = b"API\0"

_LENGTH = struct.Struct(">I")
_LONGEST_PAYLOAD = 1 << 20  # no request is near it, and garbage must not make the server wait for gigabytes
_VERSIONS = re.compile(rb"v(\d{1,9})\.\.(\d{1,9})(?: .*)?", re.DOTALL)

Field = str | int | float | bool | None


class NotTws(ValueError):
    """What came is not the protocol; the text says what came instead."""


def frame(payload: bytes) -> bytes:
    """``payload`` with its length in front."""
    return _LENGTH.pack(len(payload)) + payload


def message(*fields: Field) -> bytes:
    """A whole frame of ``fields``: booleans as 1 and 0, None as the empty field.

    Raises:
        ValueError: a text that holds a NUL, which would end its field.
    """
    return frame(b"".join(_encoded(field) for field in fields))


def fields(payload: bytes) -> list[str]:
    """The fields of a payload.

    Raises:
        NotTws: the payload is empty, or its last field has no end.
    """
    if not payload.endswith(b"\0"):
        raise NotTws(f"a message of {len(payload)} bytes that ends in no NUL")
    return payload[:-1].decode(errors="backslashreplace").split("\0")


def versions(hello: bytes) -> tuple[int, int]:
    """The lowest and the highest version of the client's first frame, such as ``v157..178``.

    Raises:
        NotTws: it is something else.
    """
    match = _VERSIONS.fullmatch(hello)
    if match is None:
        raise NotTws(f"{hello[:40]!r} where a client says its versions, such as v157..178")
    lowest, highest = map(int, match.groups())
    return lowest, highest


class ClientBytes:
    """Turns what a client sends into payloads, however the network has cut it."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._greeted = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The payloads that are whole now that ``data`` has come, the first being the client's versions.

        Raises:
            NotTws: the preamble is another, or a frame is longer than any request.
        """
        self._waiting += data
        if not self._greeted:
            begin = bytes(self._waiting[: len(PREAMBLE)])
            if not PREAMBLE.startswith(begin):
                raise NotTws(f"{begin!r} where a client says {PREAMBLE!r}")
            if len(begin) < len(PREAMBLE):
                return
            del self._waiting[: len(PREAMBLE)]
            self._greeted = True
        while len(self._waiting) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._waiting)
            if length > _LONGEST_PAYLOAD:
                raise NotTws(f"a frame of {length} bytes")
            end = _LENGTH.size + length
            if len(self._waiting) < end:
                return
            payload = bytes(self._waiting[_LENGTH.size : end])
            del self._waiting[:end]
            yield payload


def _encoded(field: Field) -> bytes:
    text = "" if field is None else str(int(field)) if isinstance(field, bool) else str(field)
    if "\0" in text:
        raise ValueError(f"a field cannot hold a NUL: {text!r}")
    return text.encode() + b"\0"
