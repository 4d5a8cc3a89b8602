#!/usr/bin/env bash
# pyarrow 26.0.1, pandas 3.0.5: a category is written with all of its values into each row group, whether rows have them
# or not, and the limit of a dictionary page is not asked for.
#
# One would guess: a Parquet dictionary holds the values that a row group's rows have, and `dictionary_pagesize_limit`
# ends it, as for plain texts; so a column of texts and the same column as a category make about the same file.
# Seen: of a frame with 20,000 contracts, the 10,000 rows of one contract in 10 row groups take 3 kB as texts and 844 kB
# as a category, since each row group holds the names of all 20,000, 400 kB of them before compression. With a limit of
# 1,000 bytes, the dictionary of all 20,000 takes 5 kB of a file of texts, whose other rows are plain, and 84 kB of one of
# categories.
# Who is hurt: who keeps contracts, tickers or venues as a category and writes a file for each of them, or many small row
# groups: the rows that a filter leaves keep all categories, and a reader of one row group decompresses them all.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/categories.py" <<'PYTHON'
import os
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

path = sys.argv[1]
contracts = [f"QQQ {number // 1000:02d} {number:08d}C" for number in range(20_000)]
as_texts = pd.DataFrame({"contract": pd.Series([*contracts, *[contracts[7]] * 9_999], dtype="str")})
as_category = as_texts.astype("category")


def written(frame, **options):
    """Size of the file, and of the first row group before compression and of its dictionary in the file."""
    frame.to_parquet(path, index=False, **options)
    footer = pq.read_metadata(path)
    column = footer.row_group(0).column(0)
    dictionary = column.data_page_offset - column.dictionary_page_offset
    return os.path.getsize(path), footer.num_row_groups, column.total_uncompressed_size, dictionary


def one(frame):
    return written(frame[frame["contract"] == contracts[7]], row_group_size=1_000)


texts, category = one(as_texts), one(as_category)
print(f"pyarrow {pa.__version__}, pandas {pd.__version__}: 10,000 rows of one contract: file, row groups, bytes of one")
print(f"texts {texts[:3]}, category {category[:3]}")
limited = {"row_group_size": 100_000, "dictionary_pagesize_limit": 1_000}
texts_limited, category_limited = written(as_texts, **limited)[3], written(as_category, **limited)[3]
print(f"dictionary page with a limit of 1,000 bytes: texts {texts_limited:,}, category {category_limited:,}")
sys.exit(
    (texts[1], category[1]) != (10, 10)
    or category[0] < 100 * texts[0]
    or category[2] < sum(map(len, contracts))
    or texts[2] > 1_000
    or category_limited < 10 * texts_limited
)
PYTHON
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 pandas==3.0.5
"$folder/venv/bin/python" "$folder/categories.py" "$folder/quotes.parquet"
