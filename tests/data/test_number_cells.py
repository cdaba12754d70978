"""Numbers of cells: decimals, groups of digits, and what is refused because it may be two."""

import math
from decimal import Decimal

import pytest

from rnnbench.data.series.number_cells import NumberCells


@pytest.mark.parametrize(
    ("decimal", "thousands", "cell", "number"),
    [
        (".", "", "1004.5", 1004.5),
        (".", "", " -7 ", -7),
        (".", "", "+5e3", 5000),
        (".", "", "1.004", 1.004),
        (".", "", "1,004.5", 1004.5),
        (".", "", "-1,004,567", -1004567),
        (".", "", "1 004", 1004),
        (".", "", "1\u00a0004\u00a0567.25", 1004567.25),
        (".", "", "1\u202f004", 1004),
        (".", "", "1'004.5", 1004.5),
        (".", "", "1\u2019004", 1004),
        (".", ",", "1,004", 1004),
        (".", ",", "12,34,567.8", 1234567.8),  # as in India
        (".", ",", "1004", 1004),
        (".", "none", "1.004", 1.004),
        (",", "", "1.004", 1004),
        (",", "", "987", 987),
        (",", "", "1.004.567,5", 1004567.5),
        (",", "", "-1.004,25", -1004.25),
        (",", "", "0,5", 0.5),
        (",", "", "1,004", 1.004),
        (",", "", "1 004,5", 1004.5),
        (",", "", "1,5e3", 1500),
        (",", ".", "1.004", 1004),
        (",", "'", "1'004,5", 1004.5),
        (",", "none", "1,004", 1.004),
    ],
)
def test_a_cell_is_read_as_its_settings_say(decimal, thousands, cell, number):
    assert NumberCells(decimal, thousands)(cell) == number


@pytest.mark.parametrize(
    ("decimal", "thousands", "cell", "why"),
    [
        (".", "", "1,004", "task.thousands=, where .* or task.decimal=, where a comma"),
        (".", "", "1,5", "set task.decimal=, where a comma stands before the decimals$"),
        (".", "", "1.004.567", "set task.decimal=,"),
        (".", "", "1.004,5", "set task.decimal=,"),
        (".", "", "12,34,567", "set task.thousands=,"),
        (".", "", "1 0", "leave the column out"),
        (".", "", "0x1f", "leave the column out"),
        (".", "", "1_000", "no finite number"),
        (".", ",", "1,04", "leave the column out"),
        (".", ",", "1 004", "set task.thousands=' '"),
        (".", "none", "1 004", "set task.thousands=' '"),
        (".", "none", "1,004", "task.thousands=, where"),
        (",", "", "1.5", "set task.decimal=. where a point"),
        (",", "", "1.0004", "set task.decimal=. where a point"),
        (",", "", "0.987", "set task.decimal=. where a point"),
        (",", "", "1,004.5", "set task.decimal=. where a point"),
        (",", "", "10.04,5", "leave the column out"),
        (",", "none", "1.004", "task.thousands=. where .* or task.decimal=. where"),
        (",", "'", "1.004", "set task.thousands=. "),
    ],
)
def test_a_cell_that_is_no_number_is_refused_with_what_to_set(decimal, thousands, cell, why):
    with pytest.raises(ValueError, match=why):
        NumberCells(decimal, thousands)(cell)
    assert not NumberCells(decimal, thousands).reads(cell)


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("cell", ["", " NA ", "-", "?", "nan", "#N/A", None])
def test_missing_is_missing_however_numbers_are_written(decimal, cell):
    assert math.isnan(NumberCells(decimal)(cell))


def test_numbers_of_parquet_are_what_they_are():
    read = NumberCells(",")
    assert [read(cell) for cell in (1, 1.004, Decimal("1.004"))] == [1, 1.004, 1.004]
    for cell in (True, math.inf, b"1"):
        with pytest.raises(ValueError, match="is no "):
            read(cell)
