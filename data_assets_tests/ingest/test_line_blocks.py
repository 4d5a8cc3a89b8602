from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_assets.ingest.line_blocks import LineBlocks, LineTooLong

LINES = st.lists(st.binary(max_size=6).map(lambda line: line.replace(b"\n", b"")), max_size=20)
BODY = st.builds(lambda lines, end, tail: b"".join(line + end for line in lines) + tail,
                 LINES, st.sampled_from([b"\n", b"\r\n"]), st.sampled_from([b"", b"cut", b"\r"]))  # fmt: skip


def chunks_of(body: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(edges)]


def run(chunks: list[bytes], size: int) -> tuple[list[bytes], bytes]:
    blocks = LineBlocks(size)
    given_back = [block for chunk in chunks if (block := blocks.feed(chunk)) is not None]
    lines, tail = blocks.finish()
    return [*given_back, lines], tail


@given(body=BODY, cuts=st.lists(st.integers(0, 200), max_size=12), size=st.integers(8, 64))
def test_blocks_and_tail_are_the_stream_however_it_was_split(body: bytes, cuts: list[int], size: int):
    blocks, tail = run(chunks_of(body, cuts), size)
    assert b"".join(blocks) + tail == body
    assert b"\n" not in tail
    assert all(block.endswith(b"\n") for block in blocks if block)


@given(body=BODY, cuts=st.lists(st.integers(0, 200), max_size=12), size=st.integers(8, 64))
def test_what_is_held_is_bounded_by_the_size_and_one_chunk(body: bytes, cuts: list[int], size: int):
    chunks = chunks_of(body, cuts)
    blocks, _ = run(chunks, size)
    assert max(map(len, blocks)) <= size + max(map(len, chunks))


def test_one_cut_at_every_offset_of_a_small_body():
    body = b"symbol,bid\r\nQQQ,1.05\r\nQQQ,1.10\r\nQQQ,1."
    for offset in range(len(body) + 1):
        blocks, tail = run([body[:offset], body[offset:]], 12)
        assert (b"".join(blocks), tail) == (b"symbol,bid\r\nQQQ,1.05\r\nQQQ,1.10\r\n", b"QQQ,1.")


def test_a_block_is_given_as_soon_as_it_is_full():
    blocks = LineBlocks(8)
    assert blocks.feed(b"abc\nde") is None
    assert blocks.feed(b"f\ngh") == b"abc\ndef\n"
    assert blocks.finish() == (b"", b"gh")


def test_a_stream_without_line_ends_is_refused_before_it_fills_the_memory():
    blocks = LineBlocks(8)
    assert blocks.feed(b"1234567") is None
    with pytest.raises(LineTooLong, match="9 bytes without a line end"):
        blocks.feed(b"89")
