"""`rnnbench predict` on a table of one's own: it answers as the input is written."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import torch
from plugins.tasks.csv_tables import made

from rnnbench_tasks.csv_forecast import CSVForecast

SMALL = {"context": 4, "horizon": 3}
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def table(times, sep=",", head="t"):
    rows = [f"{t}{sep}{i % 7 + i / 100}" for i, t in enumerate(times)]
    return "\n".join([f"{head}{sep}v", *rows]) + "\n"


def answer(task, text):
    """Return the lines that follow a text, the forecast being the last value each time."""
    _, say = task.ask(text)
    return say(torch.zeros(3, len(task.series.target))).splitlines()


def times_of(lines, sep=","):
    return [line.split(sep)[0] for line in lines[1:]]


def berlin_days(first, n, form="{}"):
    local = [datetime.fromisoformat(first) + timedelta(days=k) for k in range(n)]
    return [form.format(t.replace(tzinfo=BERLIN).isoformat()) for t in local]


def hours(first, n):
    begin = datetime.fromisoformat(first)
    return [(begin + timedelta(hours=k)).astimezone(BERLIN).isoformat() for k in range(n)]


def test_days_that_follow_have_the_offset_of_their_day(tmp_path):
    task = made(tmp_path, table(berlin_days("2023-10-01", 300)), **SMALL)
    lines = answer(task, table(berlin_days("2024-03-27", 4)))
    assert times_of(lines) == [
        "2024-03-31T00:00:00+01:00", "2024-04-01T00:00:00+02:00", "2024-04-02T00:00:00+02:00",
    ]  # fmt: skip


def test_milliseconds_of_an_epoch_keep_all_their_digits(tmp_path):
    def hours(first, n):
        return table([1704067200123 + 3600000 * (first + i) for i in range(n)])

    lines = answer(made(tmp_path, hours(0, 300), **SMALL), hours(300, 4))
    assert times_of(lines) == [str(1704067200123 + 3600000 * (304 + i)) for i in range(3)]


def test_hours_that_follow_are_an_hour_apart_over_a_change_of_the_clock(tmp_path):
    task = made(tmp_path, table(hours("2024-03-20T00:00+00:00", 400)), **SMALL)
    lines = answer(task, table(hours("2024-10-26T20:00+00:00", 4)))
    assert times_of(lines) == [
        "2024-10-27T02:00:00+02:00", "2024-10-27T02:00:00+01:00", "2024-10-27T03:00:00+01:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("times", "follows"),
    [
        (["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"], "2024-01-05"),
        ([f"2024-01-0{d} 00:00:00" for d in range(1, 5)], "2024-01-05 00:00:00"),
        ([f"2024-01-0{d}T00:00" for d in range(1, 5)], "2024-01-05T00:00"),
        ([f"2024010{d}T0000" for d in range(1, 5)], "20240105T0000"),
    ],
)
def test_times_without_an_offset_are_answered_without_one(tmp_path, times, follows):
    whole = [t for t in pd.date_range("2022-01-01", periods=300).strftime("%Y-%m-%d")]
    task = made(tmp_path, table(whole), **SMALL)
    assert times_of(answer(task, table(times)))[0] == follows


@pytest.mark.parametrize(
    ("form", "follows"),
    [
        ("{:%Y-%m-%dT%H:%M:%SZ}", "2024-01-05T00:00:00Z"),
        ("{:%Y-%m-%d %H:%M:%S UTC}", "2024-01-05 00:00:00 UTC"),
        ("{:%Y-%m-%d %H:%M:%S+00:00}", "2024-01-05 00:00:00+00:00"),
        ("{:%Y-%m-%d %H:%M+0000}", "2024-01-05 00:00+0000"),
        ("{:%Y-%m-%dT%H:%M:%S.000Z}", "2024-01-05T00:00:00.000Z"),
    ],
)
def test_an_offset_is_answered_in_its_form(tmp_path, form, follows):
    times = [form.format(datetime(2023, 6, 1) + timedelta(days=k)) for k in range(217)]
    task = made(tmp_path, table(times), **SMALL)
    assert times[-1] == form.format(datetime(2024, 1, 3))
    later = form.format(datetime(2024, 1, 4))
    assert times_of(answer(task, table([*times[-4:], later])))[0] == follows


def test_utc_stays_utc_where_days_are_those_of_a_place(tmp_path):
    times = [datetime.fromisoformat(t).astimezone(ZoneInfo("UTC"))
             for t in berlin_days("2023-10-01", 300)]  # fmt: skip
    text = table([f"{t:%Y-%m-%dT%H:%M:%SZ}" for t in times])
    task = made(tmp_path, text, zone="Europe/Berlin", **SMALL)
    lines = answer(task, table([f"{t:%Y-%m-%dT%H:%M:%SZ}" for t in times[178:182]]))
    assert times_of(lines) == [
        "2024-03-30T23:00:00Z", "2024-03-31T22:00:00Z", "2024-04-01T22:00:00Z",
    ]  # fmt: skip


def test_months_and_formats_of_one_s_own_are_answered_in_kind(tmp_path):
    months = [f"{2010 + k // 12}-{k % 12 + 1:02d}" for k in range(60)]
    task = made(tmp_path, table(months), "months.csv", **SMALL)
    assert times_of(answer(task, table(months)))[0] == "2015-01"
    days = [f"{datetime(2023, 6, 1) + timedelta(days=k):%d/%m/%Y %z+01:00}" for k in range(200)]
    format = "%d/%m/%Y %z"
    task = made(tmp_path, table(days), "days.csv", time_format=format, **SMALL)
    assert times_of(answer(task, table(days)))[0] == "18/12/2023 +01:00"


def test_numbers_and_delimiters_are_those_of_the_input(tmp_path):
    text = table(berlin_days("2023-10-01", 300, "{:.10}"), ";").replace(".", ",")
    task = made(tmp_path, text, decimal=",", **SMALL)
    lines = answer(task, text)
    assert lines[0] == "t;v"
    assert float(lines[1].split(";")[1].replace(",", ".")) == pytest.approx(7.99, abs=0.05)
    grouped = text.replace(";6,", ";6.006,").replace("1,01", "1.001,01")
    assert answer(task, grouped)[1].split(";")[0] == lines[1].split(";")[0]


@pytest.mark.parametrize("aware", [True, False])
def test_an_input_of_the_other_kind_of_times_is_refused(tmp_path, aware):
    times = berlin_days("2023-10-01", 300)
    plain = [t[:19] for t in times]
    own, other = (times, plain) if aware else (plain, times)
    task = made(tmp_path, table(own), **SMALL)
    with pytest.raises(ValueError, match=r"line 2, column 't': it has .* own file"):
        task.ask(table(other[:4]))
    named = made(tmp_path, table(own), "named.csv", zone="Europe/Berlin", **SMALL)
    assert times_of(answer(named, table(other[:4])))[0] == other[4]


def test_a_table_with_its_index_is_an_input_too(tmp_path):
    frame = pd.DataFrame({
        "t": pd.date_range("2024-01-01", periods=300, freq="h"),
        "v": np.random.default_rng(0).normal(size=300),
    })  # fmt: skip
    frame.to_csv(tmp_path / "t.csv")
    task = CSVForecast(path=str(tmp_path / "t.csv"), **SMALL)
    for text in (frame[-5:].to_csv(), frame[-5:].to_csv(index=False)):
        assert times_of(answer(task, text)) == [f"2024-01-13 {h}:00:00" for h in (12, 13, 14)]
    by_index = frame.set_index("t").rename_axis(None)
    by_index.to_csv(tmp_path / "i.csv")
    task = CSVForecast(path=str(tmp_path / "i.csv"), **SMALL)
    for text in (by_index[-5:].to_csv(), frame[-5:].to_csv(index=False)):
        assert times_of(answer(task, text))[0] == "2024-01-13 12:00:00"
