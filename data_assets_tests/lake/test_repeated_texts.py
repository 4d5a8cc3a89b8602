"""However texts are given to Arrow's writer, the file is the one that it makes of them row by row."""

import io

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_assets.lake.repeated_texts import RepeatedTexts

TEXTS = st.one_of(st.none(), st.sampled_from(["SPX", "SPXW", "", "é", "a" * 300]), st.text(max_size=5))
STRETCHES = st.lists(st.tuples(TEXTS, st.sampled_from([1, 2, 40, 400])), min_size=1, max_size=30)
RIGHT = pl.Enum(["CALL", "PUT"])


def frame_of(stretches: list) -> pl.DataFrame:
    texts = [text for text, times in stretches for _ in range(times)]
    return pl.DataFrame(
        {"ticker": texts, "number": range(len(texts)), "right": ["CALL"] * len(texts), "note": texts},
        schema={"ticker": pl.String(), "number": pl.Int64(), "right": RIGHT, "note": pl.String()},
    )


def written(schema: pa.Schema, tables: list[pa.Table], metadata: dict[str, str], plain: list[str], **more) -> bytes:
    file = io.BytesIO()
    dictionaries = [name for name in schema.names if name not in plain]
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=dictionaries, **more) as writer:
        writer.add_key_value_metadata(metadata)
        for table in tables:
            writer.write_table(table)
    return file.getvalue()


@settings(max_examples=100, deadline=None)
@given(st.lists(STRETCHES, min_size=1, max_size=3), st.sampled_from([[], ["note"], ["ticker", "note"]]))
def test_the_file_is_that_of_plain_texts(groups, plain):
    frames = [frame_of(stretches) for stretches in groups]
    schema = frames[0].to_arrow().schema
    texts = RepeatedTexts(schema, plain)
    mine = written(texts.schema, [texts.table(each) for each in frames], texts.metadata, plain, store_schema=False)
    theirs = written(schema, [each.to_arrow() for each in frames], {}, plain)
    assert mine == theirs
    assert pl.read_parquet(io.BytesIO(mine)).equals(pl.concat(frames), null_equal=True)


def test_rows_in_pieces_are_one_row_group():
    half = frame_of([("SPX", 40), ("SPXW", 3)])
    whole = pl.concat([half, half], rechunk=False)
    texts = RepeatedTexts(whole.to_arrow().schema, [])
    mine = written(texts.schema, [texts.table(whole)], texts.metadata, [], store_schema=False)
    assert pl.read_parquet(io.BytesIO(mine)).equals(whole)
    assert pq.ParquetFile(io.BytesIO(mine)).num_row_groups == 1


@pytest.mark.parametrize(
    "changed",
    [
        pl.col("ticker").cast(pl.Categorical),
        pl.lit(1).alias("ticker"),
        pl.lit(None).alias("ticker"),
        pl.col("number").cast(pl.Int32),
        pl.lit(1).alias("more"),
    ],
    ids=str,
)
def test_rows_with_other_columns_are_refused(changed):
    rows = frame_of([("SPX", 40)])
    texts = RepeatedTexts(rows.to_arrow().schema, [])
    for others in (rows.with_columns(changed), rows.select(sorted(rows.columns))):
        with pytest.raises(ValueError, match="schema"):
            written(texts.schema, [texts.table(others)], texts.metadata, [], store_schema=False)


def test_more_texts_than_a_dictionary_page_holds_are_read_back():
    rows = pl.DataFrame({"ticker": [f"O:SPY240119C{strike:08}" for strike in range(60_000)]})
    texts = RepeatedTexts(rows.to_arrow().schema, [])
    mine = written(texts.schema, [texts.table(rows)], texts.metadata, [], store_schema=False)
    for read in (pl.read_parquet(io.BytesIO(mine)), pl.DataFrame(pq.read_table(io.BytesIO(mine)))):
        assert read.equals(rows)
        assert read.schema == rows.schema


@pytest.mark.parametrize("stretches", [[("SPX", 1000)], [("SPX", 400), ("SPXW", 400), ("SPX", 400)]])
def test_a_text_that_comes_back_has_one_place(stretches):
    rows = frame_of(stretches)
    column = RepeatedTexts(rows.to_arrow().schema, []).table(rows).column("ticker").combine_chunks()
    assert column.dictionary.to_pylist() == list(dict(stretches))
    assert column.cast(pa.string()).to_pylist() == rows["ticker"].to_list()
