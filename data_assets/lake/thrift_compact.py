"""Thrift's compact protocol, in which a Parquet file says what it holds: footers, and the header of each page.

Here: the structs of any such message, with no idea of what their fields mean, to be read and to be written again, byte
for byte. Not here: which fields a footer or a page has (``encoded_groups``, ``page_checksums``).

The protocol is described in Thrift's `thrift-compact-protocol.md`; Parquet uses no maps, sets or UUIDs.
"""

from __future__ import annotations

import struct
from typing import Any, TypeAlias

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12

Struct: TypeAlias = "dict[int, tuple[int, Any]]"
"""Type and value of each field by its number, in the order of the message. Whole numbers are ints, `BINARY` is bytes, a
`LIST` is the type of its items and a list of them, and a `STRUCT` is one of these; of `TRUE` and `FALSE` the type says
all. A `LIST` or `STRUCT` that is not to be read, or is written already, is its bytes."""

_DEEPEST = 16  # structs and lists in one another; a footer has eight
_LONGEST = 10  # bytes of a number of 64 bits


class NotThrift(ValueError):
    """These bytes are no message."""


def read_struct(data: bytes, at: int = 0, depth: int = _DEEPEST) -> tuple[Struct, int]:
    """Read the struct that begins at a byte.

    Args:
        data: what holds it.
        at: its first byte.
        depth: how many structs and lists in one another are read, this one included; those in the last of them are
            their bytes.

    Returns:
        Its fields, and where it ends.

    Raises:
        NotThrift: there is none.
    """
    try:
        return _struct(data, at, _DEEPEST, _DEEPEST - depth)
    except (IndexError, struct.error) as error:
        raise NotThrift("it ends in the middle") from error


def read_list(data: bytes) -> list[Any]:
    """Read the items of a list that `read_struct` returned as its bytes, and not of any other bytes."""
    (_, items), _ = _list(data, 0, _DEEPEST, 0)
    return items


def write_struct(fields: Struct) -> bytes:
    """Return the bytes of a struct, whose fields stand in the order of their numbers."""
    return write_fields(fields, 0) + b"\0"


def write_fields(fields: Struct, before: int) -> bytes:
    """Return the bytes of some fields of a struct, which stand behind the field of a number; a zero ends the struct."""
    out = bytearray()
    _put_fields(out, fields, before)
    return bytes(out)


def put_varint(out: bytearray, value: int) -> None:
    """Append a number that is not negative, seven bits at a time, the lowest first."""
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _struct(data: bytes, at: int, deep: int, floor: int) -> tuple[Struct, int]:
    if not deep:
        raise NotThrift("it nests too deeply")
    fields: Struct = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _number(data, at)
        kind = head & 15
        if I16 <= kind <= I64:  # most fields: without a call for each, reading takes a sixth less time
            if (zigzag := data[at]) < 128:
                at += 1
            else:
                zigzag, at = _varint(data, at)
            fields[number] = kind, zigzag >> 1 ^ -(zigzag & 1)
        elif kind in (TRUE, FALSE):
            fields[number] = kind, None
        else:
            value, at = _value(data, at, kind, deep - 1, floor)
            fields[number] = kind, value
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, deep: int, floor: int) -> tuple[Any, int]:
    if kind in (I16, I32, I64):
        return _number(data, at)
    if kind == BINARY:
        length, at = _varint(data, at)
        if len(data) - at < length:
            raise NotThrift("it ends in the middle")
        return bytes(data[at : at + length]), at + length
    if kind in (STRUCT, LIST):
        value, end = _struct(data, at, deep, floor) if kind == STRUCT else _list(data, at, deep, floor)
        return (value if deep > floor else bytes(data[at:end])), end
    if kind in (TRUE, FALSE, BYTE):  # an item of a list, or a byte
        return data[at], at + 1
    if kind == DOUBLE:
        return struct.unpack_from("<d", data, at)[0], at + 8
    raise NotThrift(f"it has a field of type {kind}, which Parquet does not use")


def _list(data: bytes, at: int, deep: int, floor: int) -> tuple[tuple[int, list[Any]], int]:
    if not deep:
        raise NotThrift("it nests too deeply")
    head = data[at]
    at += 1
    count, kind = head >> 4, head & 15
    if count == 15:
        count, at = _varint(data, at)
    items = []
    for _ in range(count):
        item, at = _value(data, at, kind, deep - 1, floor)
        items.append(item)
    return (kind, items), at


def _number(data: bytes, at: int) -> tuple[int, int]:
    zigzag, at = _varint(data, at)
    return zigzag >> 1 ^ -(zigzag & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    if (byte := data[at]) < 128:
        return byte, at + 1
    value = shift = 0
    for place in range(at, at + _LONGEST):
        byte = data[place]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place + 1
        shift += 7
    raise NotThrift("it has a number of more than 64 bits")


def _put_fields(out: bytearray, fields: Struct, before: int) -> None:
    for number, (kind, value) in fields.items():
        if 0 < number - before < 16:
            out.append((number - before) << 4 | kind)
        else:
            out.append(kind)
            _put_number(out, number)
        if kind not in (TRUE, FALSE):
            _put_value(out, kind, value)
        before = number


def _put_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in (I16, I32, I64):
        _put_number(out, value)
    elif kind == BINARY:
        put_varint(out, len(value))
        out += value
    elif isinstance(value, bytes):  # a struct or a list that is written already
        out += value
    elif kind == STRUCT:
        _put_fields(out, value, 0)
        out.append(0)
    elif kind == LIST:
        item_kind, items = value
        if len(items) < 15:
            out.append(len(items) << 4 | item_kind)
        else:
            out.append(0xF0 | item_kind)
            put_varint(out, len(items))
        for item in items:
            _put_value(out, item_kind, item)
    elif kind == DOUBLE:
        out += struct.pack("<d", value)
    else:
        out.append(value)


def _put_number(out: bytearray, value: int) -> None:
    put_varint(out, value << 1 ^ value >> 63)
