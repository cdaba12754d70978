"""csv-forecast: numbers of a table whose points and commas stand between groups of digits."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from plugins.tasks.csv_tables import SMALL, days, made

from rnnbench.data import DataError
from rnnbench.data.series.tables import TableFormat, read_table
from rnnbench_tasks.csv_forecast import CSVForecast


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


WHOLE = (1000 + 200 * np.sin(np.arange(60) / 5)).round().astype(int)


def german(numbers=WHOLE):
    """Whole numbers around 1000, with points between groups of three digits."""
    head, *rows = days(values="x").splitlines()
    cells = (f"{n:,}".replace(",", ".") for n in numbers)
    rows = [row.replace(",x", f";{cell}") for row, cell in zip(rows, cells, strict=True)]
    return "\n".join([head.replace(",", ";"), *rows]) + "\n"


def values_of(task):
    s = task.series
    return s.scaled_ND[:, 0] * s.std_PD[0, 0] + s.mean_PD[0, 0]


def test_a_point_stands_between_groups_where_a_comma_stands_before_decimals(tmp_path):
    for settings in ({}, {"thousands": "."}, {"delimiter": ";"}):
        task = made(tmp_path, german(), decimal=",", **SMALL, **settings)
        assert values_of(task) == pytest.approx(WHOLE, rel=1e-5)


def test_a_minus_of_typesetters_is_a_minus(tmp_path):
    task = made(tmp_path, days(values="{i}").replace(",5\n", ",\u22125\n", 1), **SMALL)
    assert values_of(task)[5] == pytest.approx(-5, abs=0.05)
    text = german().replace(";1", ";\u22121")
    with pytest.raises(DataError, match="'-1\\.000' may be"):
        _ = made(tmp_path, text, **SMALL).series


@pytest.mark.parametrize(
    ("cell", "what"),
    [("5 %", "'%'"), ("$5", "'\\$'"), ("(5)", "'\\(' and '\\)'"), ("5 EUR", "'EUR'")],
)
def test_marks_beside_a_number_are_told_to_be_left_out(tmp_path, cell, what):
    with pytest.raises(DataError, match=f"line 7.* is no number; write it without {what}, or"):
        _ = made(tmp_path, days(values="{i}").replace(",5\n", f",{cell}\n", 1), **SMALL).series


def test_points_that_may_stand_between_groups_are_refused_with_the_line(tmp_path):
    with pytest.raises(DataError, match=r"line 2, column 'v': '1\.000' may be 1000 or 1\.000"):
        _ = made(tmp_path, german(), **SMALL).series
    task = made(tmp_path, german(), **SMALL, thousands="none")
    assert values_of(task)[0] == pytest.approx(1, abs=1e-3)  # it is the user's word


@pytest.mark.parametrize(
    "cells",
    [
        ["1.004", "1.026", "1.175"] * 20,  # three decimals everywhere
        ["1.004", "987", "0.5"] * 20,
        ["1.004", "7", "120.126"] * 20,
        ["0.987", "1.004", "1"] * 20,
        ["1.004", "987.25", "NA"] * 20,
    ],
)
def test_points_before_decimals_are_no_cause_for_doubt(cells):
    rows = [row.replace("x", cell) for row, cell in zip(
        days(values="x").splitlines()[1:], cells, strict=True)]  # fmt: skip
    table = read_table("\n".join(["date,v", *rows]), TableFormat())
    assert np.nanmax(table.values_ND) < 1000


def test_a_comma_is_refused_with_the_line_and_both_settings(tmp_path):
    text = days().replace(",7\n", ',"1,004"\n')
    with pytest.raises(DataError, match=r"line 9, column 'v': '1,004'.*thousands=,.*decimal=,"):
        _ = made(tmp_path, text, **SMALL).series
    assert values_of(made(tmp_path, text, **SMALL, thousands=","))[7] == pytest.approx(1004)
    assert values_of(made(tmp_path, text, **SMALL, decimal=","))[7] == pytest.approx(1.004)


def test_one_mark_cannot_stand_in_both_places():
    with pytest.raises(ValueError, match=r"set task\.decimal=, too"):
        CSVForecast(path="x.csv", thousands=".")
    with pytest.raises(ValueError, match=r"set task\.decimal=\. too"):
        CSVForecast(path="x.csv", thousands=",", decimal=",")
    with pytest.raises(ValueError, match=r"none of 'none', '\.', ','"):
        CSVForecast(path="x.csv", thousands="x")


def test_numbers_of_times_are_read_as_other_numbers_are(tmp_path):
    rows = "".join(f"{n:,};{n % 7},5\n".replace(",", ".", 1) for n in range(990, 1060))
    task = made(tmp_path, "t;v\n" + rows.replace(".5", ",5"), decimal=",", **SMALL)
    assert (str(task.step), len(task.series.scaled_ND)) == ("1", 70)


@pytest.mark.parametrize(
    ("format", "step"), [("%Y%m", "month"), ("%Y%m%d%H", "1 day"), ("%Y%m%d%H%M%S", "1 day")]
)
def test_dates_of_digits_alone_are_no_plain_numbers(tmp_path, format, step):
    if step == "month":
        times = [f"{2010 + k // 12}{k % 12 + 1:02d}" for k in range(60)]
    else:
        times = [(datetime(2024, 1, 1) + timedelta(days=k)).strftime(format) for k in range(60)]
    text = "t,v\n" + "".join(f"{t},{k}\n" for k, t in enumerate(times))
    with pytest.raises(DataError, match=f"line 2, column 't': .*set task.time_format={format}$"):
        _ = made(tmp_path, text, **SMALL).series
    assert step in str(made(tmp_path, text, time_format=format, **SMALL).step)


def test_milliseconds_of_an_epoch_are_plain_numbers(tmp_path):
    rows = "".join(f"{1701011200000 + 3600000 * k},{k}\n" for k in range(60))
    assert str(made(tmp_path, "t,v\n" + rows, **SMALL).step) == "3.6e+06"
