"""A table that cannot be read, or settings that cannot be, are refused with the reason."""

import pytest
from plugins.tasks.csv_tables import SMALL, days, made

from rnnbench.data import DataError
from rnnbench.data.series import tables
from rnnbench_tasks.csv_forecast import CSVForecast


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


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
    "numbers of a zone": ("t,v\n1,1\n2,2\n", {"zone": "UTC"}, "so there is no zone for them"),
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
