"""csv-forecast: a user's own tables, as they are and as they should not be."""

import os
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from plugins.tasks.csv_tables import SHOPS, SMALL, days, made, shops

from rnnbench.data import DataError, data_version
from rnnbench.data.series.regular_steps import find_step, spaced
from rnnbench.data.series.tables import TableFormat, read_table
from rnnbench.testing import TaskLaws
from rnnbench_tasks.csv_forecast import CSVForecast


class TestCSVForecast(TaskLaws):
    tiny = CSVForecast(**CSVForecast.tiny)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


# ---------------------------------------------------------------------------------- what works


def test_several_series_with_gaps_and_covariates_are_what_pandas_makes_of_them(tmp_path):
    task = made(tmp_path, shops(), **SHOPS)
    s = task.series
    table = pd.read_csv(tmp_path / "table.csv", parse_dates=["date"])
    assert s.names == ("north", "south")
    assert s.ends_P3.tolist() == [[140, 160, 200], [340, 360, 400]]
    assert s.width == 2 + 1 + 2 + 1  # two columns, one ahead, a weekday, and the one ahead again
    assert str(task.step) == "1 day"
    assert s.season == 7
    for p, (shop, rows) in enumerate(table.groupby("shop")):
        assert shop == s.names[p]
        rows = rows.set_index("date").asfreq("D")
        train = rows["sales"][:140]
        z = (rows["sales"] - train.mean()) / train.std(ddof=0)
        found = s.scaled_ND[200 * p : 200 * (p + 1), 0]
        assert np.isnan(found).sum() == 3
        assert found == pytest.approx(z.to_numpy(), abs=1e-4, nan_ok=True)
        weekday = 2 * np.pi * rows.index.day_of_week / 7
        assert s.inputs_NI[200 * p : 200 * (p + 1), 3] == pytest.approx(np.sin(weekday), abs=1e-5)
    assert task.past == (0,)
    assert task.source.width == s.width
    batch = task.data("train", 0).batch(task.data("train", 0).times_W[:2], None)
    assert batch.x.isfinite().all()


def test_rows_may_stand_in_any_order(tmp_path):
    head, *rows = shops().splitlines()
    np.random.default_rng(1).shuffle(rows)
    rows.sort(key=lambda r: "south" in r)  # series in the order of their first rows
    one = made(tmp_path, shops(), **SHOPS).series
    two = made(tmp_path, "\n".join([head, *rows]), "other.csv", **SHOPS).series
    assert np.array_equal(one.inputs_NI, two.inputs_NI)


def test_every_other_column_is_a_target_where_none_is_named(tmp_path):
    task = made(tmp_path, days(header="date,a,b", values="{i},{i}5"), **SMALL)
    assert task.target.width == 2
    assert task.series.columns == ("a", "b")


@pytest.mark.parametrize(
    ("text", "settings", "last"),
    [
        (days().encode("utf-8-sig"), {}, 59),
        (days(header="date,caf\xe9").encode("latin-1"), {"encoding": "latin-1"}, 59),
        (days().replace(",", ";").replace(";59", ";59,5"), {"decimal": ","}, 59.5),
        (days().replace(",", "\t"), {}, 59),
        (days().replace("\n", "\r\n"), {}, 59),
        (days().replace("2020-01-01 00:00:00", "2020-01-01"), {}, 59),
        (days().rstrip("\n") + "\n\n", {}, 59),
        (days().replace("-", "/"), {"time_format": "%Y/%m/%d %H:%M:%S"}, 59),
        (days().replace("00:00:00", "00:00:00+02:00"), {}, 59),
        (days(header='date,"v\nw"'), {}, 59),
        (days().replace(",7\n", ",NA\n").replace(",9\n", ", null \n"), {}, 59),
    ],
    ids=[*("bom", "latin-1", "semicolon", "tab", "crlf", "date", "blank line", "format", "zone"),
         *("quoted newline", "missing")],
)  # fmt: skip
def test_tables_of_many_kinds_are_read(tmp_path, text, settings, last):
    s = made(tmp_path, text, **SMALL, **settings).series
    assert len(s.scaled_ND) == 60
    value = s.scaled_ND[-1, 0] * s.std_PD[0, 0] + s.mean_PD[0, 0]
    assert value == pytest.approx(last, rel=1e-5)


def apart(step):
    return [str(datetime(2020, 1, 1) + i * step) for i in range(40)]


MONTH_ENDS = [str(d.date()) for d in pd.date_range("2019-01-31", periods=40, freq="ME")]


@pytest.mark.parametrize(
    ("times", "step", "season"),
    [
        ([f"{2019 + i // 12}-{i % 12 + 1:02d}-01" for i in range(40)], "1 month", 12),
        ([f"{2019 + i // 12}-{i % 12 + 1:02d}" for i in range(40)], "1 month", 12),
        (MONTH_ENDS, "1 month", 12),
        ([f"{2000 + i // 4}-{i % 4 * 3 + 1:02d}-15" for i in range(40)], "3 months", 4),
        ([f"{1900 + i}-01-01" for i in range(40)], "12 months", 1),
        ([str(1700 + i) for i in range(40)], "1", 1),
        ([str(0.25 * i) for i in range(40)], "0.25", 1),
        (apart(timedelta(hours=1)), "1 hour", 24),
        (apart(timedelta(minutes=15)), "15 minutes", 96),
        (apart(timedelta(days=7)), "1 week", 52),
    ],
    ids=["months", "months alone", "month ends", "quarters", "years", "numbers", "fractions",
         "hours", "quarter hours", "weeks"],
)  # fmt: skip
def test_the_step_and_its_season_are_found(times, step, season):
    rows = [f"{t},{i}" for i, t in enumerate(times) if i != 7]
    table = read_table("\n".join(["t,v", *rows]), TableFormat())
    found = find_step(table, "x")
    assert (str(found), found.season) == (step, season)
    filled = spaced(table, found, "x")
    assert filled.gaps == 1
    assert np.isnan(filled.values_ND[7, 0])
    assert len(filled.times) == len(times)
    assert filled.values_ND[-1, 0] == len(times) - 1
    assert filled.times[-1] == table.times[-1]  # a step leads to where the rows are


def test_rows_can_be_steps_whatever_their_times(tmp_path):
    text = "t,v\n" + "".join(f"{i * i},{i}\n" for i in range(60))
    with pytest.raises(DataError, match=r"task\.steps=rows"):
        _ = made(tmp_path, text, **SMALL).series
    assert len(made(tmp_path, text, steps="rows", **SMALL).series.scaled_ND) == 60


def test_parts_begin_at_shares_or_at_times(tmp_path):
    shares = made(tmp_path, days(100), valid="0.15", test="0.25", **SMALL).series
    assert shares.ends_P3.tolist() == [[60, 75, 100]]
    times = made(tmp_path, days(100), valid="2020-02-01", test="2020-03-01 00:00", **SMALL).series
    assert times.ends_P3.tolist() == [[31, 60, 100]]


def test_short_series_are_refused_by_name_or_left_out(tmp_path):
    text = shops() + "".join(f"2020-01-{d:02d},tiny,{d},{d},0,\n" for d in range(1, 20))
    with pytest.raises((DataError, ValueError), match="'tiny'"):
        made(tmp_path, text, **SHOPS).data("test", 0)
    task = made(tmp_path, text, short="leave out", **SHOPS)
    assert task.series.names == ("north", "south")
    assert np.array_equal(
        task.series.inputs_NI, made(tmp_path, shops(), "two.csv", **SHOPS).series.inputs_NI
    )
    with pytest.raises(DataError, match="all 3 series are too short"):
        _ = made(tmp_path, text, short="leave out", **(SHOPS | {"context": 500})).series


# ------------------------------------------------------------------------- identity and caching


def test_the_content_and_not_the_place_is_part_of_the_datas_version(tmp_path, monkeypatch):
    one = made(tmp_path, days(), **SMALL)
    same = made(tmp_path, days(), "copy.csv", **SMALL)
    other = made(tmp_path, days(61), "other.csv", **SMALL)
    versions = [data_version(task.sources(), task.version) for task in (one, same, other)]
    assert versions[0] == versions[1] != versions[2]
    monkeypatch.chdir(tmp_path)
    relative = CSVForecast(path="table.csv", **SMALL)
    assert data_version(relative.sources(), relative.version) == versions[0]
    assert len(relative.series.scaled_ND) == 60


def test_a_table_is_read_once_and_then_mapped(tmp_path, monkeypatch):
    first = made(tmp_path, days(), **SMALL).series
    monkeypatch.setattr("rnnbench_tasks.csv_forecast.read_tables", None)
    again = CSVForecast(path=str(tmp_path / "table.csv"), **(SMALL | {"context": 6}))
    assert np.array_equal(again.series.inputs_NI, first.inputs_NI)


def test_a_table_that_changes_is_read_again(tmp_path):
    before = made(tmp_path, days(), **SMALL).series.scaled_ND.shape
    os.utime(tmp_path / "table.csv", (1, 1))
    assert before == (60, 1)
    assert made(tmp_path, days(70), **SMALL).series.scaled_ND.shape == (70, 1)


# -------------------------------------------------------------------------------------- Parquet


def test_parquet_is_read_as_a_csv_is(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not here: pip install 'rnnbench[parquet]'")
    csv = made(tmp_path, shops(), **SHOPS)
    table = pd.read_csv(tmp_path / "table.csv", parse_dates=["date"])
    table.to_parquet(tmp_path / "table.parquet")
    parquet = CSVForecast(path=str(tmp_path / "table.parquet"), **SHOPS)
    assert np.array_equal(parquet.series.inputs_NI, csv.series.inputs_NI)
    table["sales"] = table["sales"].astype(str)
    table.loc[3, "sales"] = "many"
    table.to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(DataError, match=r"row 4, column 'sales': 'many' is no number"):
        _ = CSVForecast(path=str(tmp_path / "bad.parquet"), **SHOPS).series
    (tmp_path / "not.parquet").write_text("date,v\n")
    with pytest.raises(DataError, match="not a Parquet file"):
        _ = CSVForecast(path=str(tmp_path / "not.parquet")).series


def test_parquet_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"rnnbench\[parquet\]"):
        _ = made(tmp_path, b"PAR1", "t.parquet").series
