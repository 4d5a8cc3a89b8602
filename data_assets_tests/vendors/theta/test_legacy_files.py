"""Which files of a folder an import takes."""

from __future__ import annotations

from datetime import date

from data_assets.vendors.theta.dataset import OptionDataset
from data_assets.vendors.theta.legacy import find_files

QQQ = OptionDataset("theta/option_quotes/QQQ", "QQQ")
NAME = "QQQ_options_2024-01-03_1m.csv"


def test_of_several_files_of_a_day_the_plain_one_is_taken_and_the_others_are_told_its_place(tmp_path):
    packed, plain = tmp_path / "a" / f"{NAME}.gz", tmp_path / "b" / NAME
    for file in (packed, plain):
        file.parent.mkdir()
        file.touch()

    found = find_files(tmp_path, QQQ)

    assert found.of_days == {date(2024, 1, 3): plain}
    assert found.refused == {packed: f"{plain} is the same day"}
