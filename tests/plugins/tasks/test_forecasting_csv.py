"""csv-forecast: a user's own tables, as they are and as they should not be."""

import os
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from rnnbench.cli import main
from rnnbench.data import DataError, data_version
from rnnbench.data.series import tables
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


def shops(days=200, gone=(40, 41), empty=(60,)):
    """Two shops, with a holiday known ahead, rows that are missing and empty cells."""
    rng = np.random.default_rng(0)
    rows = ["date,shop,sales,visitors,holiday,note"]
    for shop, base in (("north", 100), ("south", 50)):
        for i in range(days):
            if i in gone:
                continue
            sales = base * (1 + 0.3 * np.sin(2 * np.pi * i / 7)) + 20 * (i % 17 == 0)
            sales = "" if i in empty else f"{sales + rng.normal():.3f}"
            day = datetime(2020, 1, 1) + timedelta(days=i)
            row = (day.date(), shop, sales, f"{3 * base + rng.normal():.2f}", int(i % 17 == 0))
            rows.append(",".join(map(str, row)) + (',"words, too"' if i % 2 else ","))
    return "\n".join(rows) + "\n"


SHOPS = {
    "series_column": "shop", "targets": ("sales",), "covariates": ("visitors",),
    "ahead": ("holiday",), "calendar": ("weekday",), "context": 14, "horizon": 7,
}  # fmt: skip


def made(tmp_path, text, name="table.csv", **settings):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CSVForecast(path=str(path), **settings)


def days(n=60, values="{i}", header="date,v", step=timedelta(days=1)):
    rows = [f"{datetime(2020, 1, 1) + i * step},{values.format(i=i)}" for i in range(n)]
    return "\n".join([header, *rows]) + "\n"


SMALL = {"context": 4, "horizon": 2}


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


# --------------------------------------------------------------------------------- what does not

BROKEN = {
    "a folder of nothing": ("", {}, "is empty"),
    "a header alone": ("date,v\n", {}, "a header and no rows"),
    "a blank header": ("\n1,2\n", {}, "empty: a CSV begins with"),
    "a ragged line": ("date,v\n2020-01-01,1\n2020-01-02,2,3\n", {}, "line 3: 3 cells, .* has 2"),
    "words": (days() + "2020-03-01,n/b\n", {}, r"line 62, column 'v': 'n/b' is no number"),
    "a decimal comma": ("date;v\n2020-01-01;1,5\n", {}, "line 2.* set task.decimal=,"),
    "infinity": (days() + "2020-03-01,inf\n", {}, "line 62.*no finite number"),
    "an underscore": (days() + "2020-03-01,1_0\n", {}, "line 62.*no finite number"),
    "latin-1": (b"date,caf\xe9\n2020-01-01,1\n", {}, "line 1: the byte 0xe9 is not utf-8"),
    "latin-1 below": (
        days(3000).encode() + b"2030-01-01,\xe9\n", {}, "line 3002: the byte 0xe9 is not utf-8",
    ),
    "no encoding": (days(), {"encoding": "utf-7000"}, "no encoding 'utf-7000'"),
    "zero bytes": (b"\0\1\2", {}, "line 1: holds a zero byte"),
    "an open quote": ('date,v\n2020-01-01,"1\n', {}, "line 2: "),
    "a time that is none": (days() + "yesterday,1\n", {}, "line 62, column 'date': 'yesterday'"),
    "no time": (days() + ",1\n", {}, "line 62, column 'date': no time"),
    "an odd time": ("date,v\n13/01/2020,1\n", {}, "line 2.*task.time_format"),
    "a wrong format": (days(), {"time_format": "%d.%m.%Y"}, "line 2, column 'date'"),
    "a number among dates": (days() + "5,1\n", {}, "line 62"),
    "zones mixed": (days() + "2020-03-01T00:00+01:00,1\n", {}, "line 62.*time zone"),
    "one time twice": (days() + "2020-01-05,1\n", {}, "line 62: .* that of line 6 too"),
    "irregular steps": (days() + "2020-03-01 07:00,1\n", {}, "line 62: .* steps of 1 day after"),
    "far apart": (days() + "2090-01-01,1\n", {}, "nearly all would be missing"),
    "one row": ("date,v\n2020-01-01,1\n", {}, "no series has two rows"),
    "a column twice": ("date,v,v\n2020-01-01,1,1\n", {}, "'v' stands there twice"),
    "no such column": (days(), {"targets": ("w",)}, "no column 'w'; it has 'date', 'v'"),
    "a column in two parts": (days(), {"targets": ("v",), "ahead": ("v",)}, "named twice"),
    "nothing to forecast": (days(), {"covariates": ("v",)}, "no column of values besides"),
    "a long delimiter": (days(), {"delimiter": ",,"}, "must be one character"),
    "numbers without calendar": ("t,v\n1,1\n2,2\n", {"calendar": ("hour",)}, "no calendar to read"),
    "a constant": (days(values="5"), {}, "v is constant over the training part"),
    "never there": (days(values="NA"), {}, "v has no value in the training part"),
    "too short": (days(8), {}, "rows, season 7: no split"),
    "a date of another kind": (days(), {"valid": "5", "test": "9"}, "of another kind"),
    "disorder": (days(), {"valid": "2020-02-09", "test": "2020-02-03"}, "must begin before"),
    "an unnamed series": ("d,s,v\n1,a,2\n2,,3\n", {"series_column": "s"}, "line 3.*no series"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "settings", "why"), BROKEN.values(), ids=BROKEN)
def test_a_table_that_cannot_be_read_is_refused_with_its_line_and_the_reason(
    tmp_path, text, settings, why
):
    with pytest.raises(DataError, match=why):
        _ = made(tmp_path, text, **SMALL, **settings).series


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"valid": "0.1", "test": "2020-01-01"}, "give two shares"),
        ({"valid": "0.5", "test": "0.5"}, "leave nothing for training"),
        ({"calendar": ("moon",)}, "calendar has no 'moon'; it has hour"),
        ({"horizon": 0}, "horizon"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(settings, why):
    with pytest.raises(ValueError, match=why):
        CSVForecast(path="nowhere.csv", **settings)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="not there"):
        CSVForecast(path=str(tmp_path / "x.csv")).sources()
    with pytest.raises(DataError, match="a folder"):
        CSVForecast(path=str(tmp_path)).sources()


def test_a_file_larger_than_memory_is_refused_with_both_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "memory_bytes", lambda: 1000)
    with pytest.raises(DataError, match=r"this machine has 0\.00 GB"):
        _ = made(tmp_path, days(), **SMALL).series


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
    monkeypatch.setattr("rnnbench_tasks.csv_forecast.read_table", None)
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


# ---------------------------------------------------------------------------- from the command line


def call(*arguments):
    done = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    return done.exit_code, done.output


@pytest.fixture
def trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shops.csv").write_text(shops())
    settings = [
        *("task.path=shops.csv", "task.series_column=shop", "task.targets=[sales]"),
        *("task.covariates=[visitors]", "task.ahead=[holiday]", "task.calendar=[weekday]"),
        *("task.context=14", "task.horizon=7", "architecture.hidden=4", "budget.steps=2"),
        *("budget.validate_every=1", "--no-test", "--out", "results"),
    ]
    code, said = call("run", "csv-forecast", "gru", *settings)
    assert code == 0, said
    return tmp_path


def tail(shop="south", rows=14, future=7, last="2020-07-18"):
    lines = ["date,shop,sales,visitors,holiday,note"]
    first = datetime.fromisoformat(last) - timedelta(days=rows - 1)
    for i in range(rows + future):
        given = f"{50 + i},150" if i < rows else ","
        lines.append(f"{(first + timedelta(days=i)).date()},{shop},{given},0,")
    return "\n".join(lines)


def test_a_run_forecasts_what_follows_the_tail_of_a_table(trained):
    (trained / "tail.csv").write_text(tail())
    code, said = call("predict", "csv-forecast", "--input", "tail.csv", "--out", "results")
    assert code == 0, said
    header, *rows = said.strip().splitlines()
    assert header == "date,shop,sales"
    assert [row.split(",")[0] for row in rows] == [f"2020-07-{d}" for d in range(19, 26)]
    values = [float(row.split(",")[2]) for row in rows]
    assert all(20 < v < 110 for v in values)  # in the unit of the shop, not z-scores


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (tail(shop="west"), "not trained on a series 'west'"),
        (
            tail(rows=9),
            "reads 21 steps of 1 day, the last 7 of them of the horizon; the input has 16",
        ),
        (tail() + "\n2020-07-25,south,1,2,0,", "is that of line"),
        (tail() + "\n2020-07-26 05:00,south,1,2,0,", "not a whole number of steps"),
        (tail() + "\n2020-07-26,north,1,2,0,", "one series at a time"),
        (tail().replace("visitors", "guests"), "no column 'visitors'"),
        (tail().replace("58,150", "58,many"), "line 10, column 'visitors'"),
    ],
)
def test_a_tail_that_cannot_be_read_is_refused_with_the_reason(trained, text, why):
    code, said = call("predict", "csv-forecast", "--input", text, "--out", "results")
    assert code != 0
    assert why in " ".join(said.split())


def test_a_broken_table_is_refused_by_check_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("date,v\n2020-01-01,1\n2020-01-02,2,3\n")
    code, said = call("check", "csv-forecast", "lstm", "task.path=x.csv")
    assert code != 0
    assert "line 3: 3 cells" in said
