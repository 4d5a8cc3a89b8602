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


def run(chunks: list[bytes], size: int, first: int = 2000) -> tuple[list[list[memoryview]], bytes]:
    blocks = LineBlocks(size, first)
    given_back = [block for chunk in chunks if (block := blocks.feed(chunk)) is not None]
    last, tail = blocks.finish()
    return [*given_back, last], tail


CUTS = st.lists(st.integers(0, 200), max_size=12)
SIZES = st.integers(8, 64) | st.integers(64, 2000)  # of the larger ones, chunks of some bytes are small
FIRST = st.sampled_from([1, 5, 2000])


@given(body=BODY, cuts=CUTS, size=SIZES, first=FIRST)
def test_pieces_and_tail_are_the_stream_however_it_was_split(body: bytes, cuts: list[int], size: int, first: int):
    blocks, tail = run(chunks_of(body, cuts), size, first)
    pieces = list(itertools.chain.from_iterable(blocks))
    assert b"".join(pieces) + tail == body
    assert b"\n" not in tail
    assert all(bytes(piece).endswith(b"\n") for piece in pieces)


@given(body=BODY, cuts=CUTS, size=SIZES, first=FIRST)
def test_what_is_held_is_bounded_by_the_size_and_one_chunk(body: bytes, cuts: list[int], size: int, first: int):
    chunks = chunks_of(body, cuts)
    blocks, _ = run(chunks, size, first)
    assert max(sum(map(len, block)) for block in blocks) <= size + max(map(len, chunks))


def test_one_cut_at_every_offset_of_a_small_body():
    body = b"symbol,bid\r\nQQQ,1.05\r\nQQQ,1.10\r\nQQQ,1."
    for offset in range(len(body) + 1):
        blocks, tail = run([body[:offset], body[offset:]], 12)
        whole = b"".join(itertools.chain.from_iterable(blocks))
        assert (whole, tail) == (b"symbol,bid\r\nQQQ,1.05\r\nQQQ,1.10\r\n", b"QQQ,1.")


def test_a_block_is_given_as_soon_as_it_is_full():
    blocks = LineBlocks(8)
    assert blocks.feed(b"abc\nde") is None
    assert blocks.feed(b"f\ngh") == [b"abc\n", b"def\n"]
    assert blocks.finish() == ([], b"gh")


def test_the_first_blocks_are_small_and_each_is_twice_the_one_before():
    blocks, tail = run([b"abcdefg\n"] * 100, 160, 20)
    assert ([sum(map(len, block)) for block in blocks], tail) == ([24, 40, 80, 160, 160, 160, 160, 16], b"")


def test_a_line_that_is_longer_than_the_first_block_is_none_too_long():
    blocks, tail = run([b"x" * 10] * 9 + [b"\n"], 100, 10)
    assert ([sum(map(len, block)) for block in blocks], tail) == ([91], b"")
    with pytest.raises(LineTooLong, match="100 bytes without a line end"):
        run([b"x" * 10] * 10, 100, 10)


def test_lines_stay_in_their_chunk_but_for_those_that_cross_two():
    chunks = [b"abc\ndef\ngh", b"i\njkl\nmno\np", b"qr\nstu\n"]
    (block,), tail = run(chunks, 100)
    assert block == [b"abc\ndef\n", b"ghi\n", b"jkl\nmno\n", b"pqr\n", b"stu\n"]
    assert [block[place].obj for place in (0, 2, 4)] == chunks
    assert tail == b""


def test_small_chunks_become_few_pieces():
    blocks, _ = run([b"a\nb"] * 100_000, 64_000)
    assert max(map(len, blocks)) < 150


class Searched(bytes):
    """Counts the bytes in which something was looked for."""

    searched = 0

    def find(self, *wanted: object) -> int:
        Searched.searched += len(self)
        return bytes.find(self, *wanted)  # type: ignore[arg-type]

    def rfind(self, *wanted: object) -> int:
        Searched.searched += len(self)
        return bytes.rfind(self, *wanted)  # type: ignore[arg-type]


def test_a_line_of_many_chunks_is_searched_no_oftener_than_a_short_one():
    chunks = [Searched(b"x" * 100)] * 5000 + [Searched(b"\n")]
    (block,), tail = run([*chunks], 1_000_000)
    assert (list(map(len, block)), tail) == ([500_001], b"")
    assert Searched.searched <= 2 * 500_001


def test_a_stream_without_line_ends_is_refused_before_it_fills_the_memory():
    blocks = LineBlocks(8)
    assert blocks.feed(b"1234567") is None
    with pytest.raises(LineTooLong, match="9 bytes without a line end"):
        blocks.feed(b"89")
