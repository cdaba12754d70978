"""csv-forecast: an index is no series, a header is one, and packed files are read."""

import bz2
import gzip
import lzma

import numpy as np
import pandas as pd
import pytest
from plugins.tasks.csv_tables import SHOPS, SMALL, days, made, shops

from rnnbench.data import DataError
from rnnbench_tasks.csv_forecast import CSVForecast


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def frame(n=300):
    times = pd.date_range("2024-01-01", periods=n, freq="h")
    return pd.DataFrame({"t": times, "v": np.random.default_rng(0).normal(size=n)})


def twice(table):
    """Return a table that was written and read without minding its index, and written again."""
    return pd.concat([table.rename_axis(None).reset_index(names="Unnamed: 0")], axis=1)


FRAMES = {
    "an index of counts": (frame(), "t", ["v"]),
    "counted twice": (twice(frame()), "t", ["v"]),
    "a part of a table": (frame().iloc[7:], "t", ["v"]),
    "a shuffled table": (frame().sample(frac=1, random_state=0), "t", ["v"]),
    "times as the index": (frame().set_index("t"), "t", ["v"]),
    "nameless times": (frame().set_index("t").rename_axis(None), None, ["v"]),
    "years": (frame().assign(t=range(1700, 2000)), "t", ["v"]),
    "a reset index": (frame().reset_index(), "t", ["v"]),
    "a value called index": (frame().assign(index=lambda f: f["v"] ** 2), "t", ["v", "index"]),
    "numbers for names": (frame().set_index("t").rename_axis(None).set_axis([0], axis=1), None,
                          ["0"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(("table", "time", "targets"), FRAMES.values(), ids=FRAMES)
def test_an_index_of_pandas_is_no_series(tmp_path, table, time, targets, kind):
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        table.to_csv(path)
    else:
        pytest.importorskip("pyarrow", reason="pyarrow: pip install 'rnnbench[parquet]'")
        table.rename(columns=str).to_parquet(path)
    task = CSVForecast(path=str(path), **SMALL)
    assert list(task.series.columns) == targets
    assert len(task.series.scaled_ND) == len(table)
    assert task._prepared["time"] == (time or {"csv": "", "parquet": "__index_level_0__"}[kind])


def test_an_index_that_counts_in_front_of_the_times_is_passed_over(tmp_path):
    pd.concat([frame().reset_index()]).to_csv(tmp_path / "t.csv", index=False)  # index,t,v
    task = CSVForecast(path=str(tmp_path / "t.csv"), **SMALL)
    assert (task._prepared["time"], list(task.series.columns)) == ("t", ["v"])


def two_shops():
    return pd.concat([frame().assign(shop=s) for s in ("north", "south")])


ORDERS = {
    "reset twice": (frame().reset_index().reset_index(), {}),
    "a part": (frame().iloc[::3].reset_index(), {}),
    "newest first": (frame().iloc[::-1].reset_index(), {}),
    "shuffled": (frame().sample(frac=1, random_state=0).reset_index(), {}),
    "of each series": (two_shops().reset_index(), {"series_column": "shop"}),
    "of series by turns": (two_shops().sort_values(["t", "shop"]).reset_index(),
                           {"series_column": "shop"}),
    "from R": (frame().reset_index(names="X"), {}),
    "from R with a name": (frame().reset_index(names="row.names"), {}),
    "behind its times": (frame().assign(id=range(100, 400)), {"time": "t"}),
}  # fmt: skip


@pytest.mark.parametrize(("table", "settings"), ORDERS.values(), ids=ORDERS)
def test_an_index_with_a_name_is_no_series(tmp_path, table, settings):
    table.to_csv(tmp_path / "t.csv", index=False)
    task = CSVForecast(path=str(tmp_path / "t.csv"), **SMALL, **settings)
    assert (task._prepared["time"], list(task.series.columns)) == ("t", ["v"])


@pytest.mark.parametrize("name", ["index", "X", "id"])
def test_values_that_bear_an_index_s_name_are_read(tmp_path, name):
    table = two_shops().sort_values(["t", "shop"])
    table[name] = np.round(50 * table["v"])
    table.to_csv(tmp_path / "t.csv", index=False)
    task = CSVForecast(path=str(tmp_path / "t.csv"), series_column="shop", **SMALL)
    assert list(task.series.columns) == ["v", name]


def test_series_may_stand_before_the_times(tmp_path):
    table = two_shops()[["shop", "t", "v"]]
    for index in (False, True):
        table.to_csv(tmp_path / "t.csv", index=index)
        task = CSVForecast(path=str(tmp_path / "t.csv"), series_column="shop", **SMALL)
        assert (task._prepared["time"], list(task.series.columns)) == ("t", ["v"])
    with pytest.raises(DataError, match=r"tells series apart, set task\.series_column=shop"):
        _ = CSVForecast(path=str(tmp_path / "t.csv"), **SMALL).series


def test_times_are_found_behind_other_columns_where_their_format_is_given(tmp_path):
    table = frame().assign(t=lambda f: f["t"].dt.strftime("%d/%m/%Y %H"))[["v", "t"]]
    table.assign(w=1 / (1 + table.index)).to_csv(tmp_path / "t.csv", index=False)
    task = CSVForecast(path=str(tmp_path / "t.csv"), time_format="%d/%m/%Y %H", **SMALL)
    assert (task._prepared["time"], list(task.series.columns)) == ("t", ["v", "w"])


def test_a_name_with_blanks_is_proposed_as_a_shell_takes_it(tmp_path):
    table = frame().rename(columns={"t": "the time"})[["v", "the time"]]
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"set task\.time='the time'$"):
        _ = CSVForecast(path=str(tmp_path / "t.csv"), **SMALL).series


def test_two_columns_without_names_are_told_to_be_named(tmp_path):
    pd.concat({s: frame().set_index("t").rename_axis(None) for s in "ab"}).to_csv(
        tmp_path / "t.csv"
    )
    with pytest.raises(DataError, match=r"line 1: 2 columns have no name.* Write names"):
        _ = CSVForecast(path=str(tmp_path / "t.csv"), **SMALL).series


def test_periods_of_pandas_are_not_taken_for_plain_numbers(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow: pip install 'rnnbench[parquet]'")
    table = frame().set_index(pd.period_range("2000-01", periods=300, freq="M"))[["v"]]
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"periods of pandas.*to_timestamp\(\)"):
        _ = CSVForecast(path=str(tmp_path / "t.parquet"), **SMALL).series


def test_a_named_index_of_counts_is_known_from_parquet_and_asked_about_in_a_csv(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow: pip install 'rnnbench[parquet]'")
    table = frame().rename_axis("place")
    table.to_parquet(tmp_path / "t.parquet")
    assert CSVForecast(path=str(tmp_path / "t.parquet"), **SMALL).series.columns == ("v",)
    table.to_csv(tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"line 2, column 't': '2024.* is a time; set task\.time=t"):
        _ = CSVForecast(path=str(tmp_path / "t.csv"), **SMALL).series


def test_several_indexes_give_series_and_times(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow: pip install 'rnnbench[parquet]'")
    table = pd.concat([frame().assign(shop=s) for s in ("north", "south")])
    table.set_index(["shop", "t"]).to_parquet(tmp_path / "t.parquet")
    task = CSVForecast(path=str(tmp_path / "t.parquet"), series_column="shop", **SMALL)
    assert (task.series.names, task.series.columns) == (("north", "south"), ("v",))


def test_an_index_that_is_named_is_read(tmp_path):
    frame().rename_axis("Unnamed: 0").to_csv(tmp_path / "t.csv")
    task = CSVForecast(path=str(tmp_path / "t.csv"), targets=("Unnamed: 0", "v"), **SMALL)
    assert task.series.columns == ("Unnamed: 0", "v")
    by_count = CSVForecast(path=str(tmp_path / "t.csv"), time="Unnamed: 0", targets=("v",), **SMALL)
    assert str(by_count.step) == "1"


def test_empty_columns_at_the_end_of_lines_are_no_series(tmp_path):
    text = "\n".join(f"{line},," for line in days().splitlines())
    assert made(tmp_path, text, **SMALL).series.columns == ("v",)


def test_a_task_says_what_it_reads_as_what(tmp_path):
    text = made(tmp_path, shops(), **SHOPS).what_is_read()
    lines = dict(line.split(None, 1) for line in text.splitlines()[1:] if "known" not in line)
    assert lines["targets"] == "sales"
    assert lines["covariates"] == "visitors"
    assert lines["time"] == "date, without a time zone"
    assert lines["series"] == "2 by shop: north, south"
    assert lines["not"].split() == ["read", "note"]
    assert lines["steps"] == "400 of 1 day, 4 of them missing; a season of 7"
    assert lines["validation"] == "from 2020-05-20 on, after 140 steps of north"
    assert "known ahead  holiday" in text


# ------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    "text",
    [
        days().split("\n", 1)[1],
        days(values="{i};{i}").replace(",", ";").split("\n", 1)[1],
        "".join(f"{i},{i * i},{i % 7}\n" for i in range(60)),
        "".join(f"2020-01-{d:02d},north,{d}\n" for d in range(1, 30)),
        "".join(f"2020-01-{d:02d},,{d}\n" for d in range(1, 30)),
        "".join(f"{d},2020-01-{d:02d}\n" for d in range(1, 30)),
    ],
    ids=["times", "semicolons", "numbers", "words too", "a missing one", "times last"],
)
def test_a_table_without_a_header_is_refused_as_such(tmp_path, text):
    with pytest.raises(DataError, match=r"line 1: .* are no names of columns.* no header"):
        _ = made(tmp_path, text, **SMALL).series


@pytest.mark.parametrize("header", ["date,2020", "2020,v", "day,2020-01-01"])
def test_a_name_may_look_like_a_number(tmp_path, header):
    assert made(tmp_path, days(header=header), **SMALL).series.columns == (header.split(",")[1],)


# ---------------------------------------------------------------------------- files as they come


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_tables_are_read(tmp_path, pack):
    task = made(tmp_path, pack(days().encode()), "t.csv.gz", **SMALL)
    assert len(task.series.scaled_ND) == 60


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (gzip.compress(days(3000).encode())[:-300], "packed and damaged .* pack it again"),
        (b"PK\x03\x04" + b"x" * 50, "a zip archive or a workbook"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 50, "packed by zstd"),
        (b"PAR1" + b"x" * 50, "call it .parquet"),
        (days().encode("utf-16"), "set task.encoding=utf-16"),
        (gzip.compress("date,v\n2020-01-01,\xe9\n".encode("latin-1")), "line 2: the byte 0xe9"),
    ],
    ids=["damaged", "zip", "zstd", "parquet", "utf-16", "latin-1"],
)
def test_what_is_no_text_is_called_what_it_is(tmp_path, content, why):
    with pytest.raises(DataError, match=why):
        _ = made(tmp_path, content, "t.csv.gz", **SMALL).series


def test_utf_16_is_read_where_it_is_named(tmp_path):
    task = made(tmp_path, days().encode("utf-16"), encoding="utf-16", **SMALL)
    assert len(task.series.scaled_ND) == 60


@pytest.mark.parametrize("delimiter", ["|", "\\t", "tab", " "])
def test_delimiters_are_taken_as_they_are(tmp_path, delimiter):
    character = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
    text = days(values="{i},x").replace(" 00:00:00", "").replace(",", character)
    task = made(tmp_path, text.replace("v\n", f"v{character}note\n", 1), delimiter=delimiter,
                targets=("v",), **SMALL)  # fmt: skip
    assert len(task.series.scaled_ND) == 60


def test_a_delimiter_within_quotes_is_none(tmp_path):
    task = made(tmp_path, days(header='"date, of day";v').replace(",{", ";{").replace(
        ",", ";").replace('"date; of day"', '"date, of day"'), **SMALL)  # fmt: skip
    assert len(task.series.scaled_ND) == 60
