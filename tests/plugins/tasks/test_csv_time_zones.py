"""csv-forecast: times with offsets, local days over changes of the clock, and cuts among them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from plugins.tasks.csv_tables import SMALL, made

from rnnbench.data import DataError
from rnnbench.data.series.regular_steps import find_step, spaced
from rnnbench.data.series.tables import TableFormat, read_table
from rnnbench_tasks.csv_forecast import CSVForecast

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNBENCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def tokyo():
    """Hours of Tokyo with their offset: a day's wave, a trend and noise."""
    i = np.arange(600)
    noise = np.random.default_rng(0).normal(size=600)
    values = np.sin(2 * np.pi * i / 24) + 0.3 * noise + 0.01 * i
    first = datetime.fromisoformat("2024-01-01T00:00+09:00")
    rows = [f"{(first + timedelta(hours=k)).isoformat()},{v}" for k, v in enumerate(values)]
    return "\n".join(["t,v", *rows]) + "\n"


def rows_of(times, head="t,v"):
    return "\n".join([head, *(f"{t},{i % 7 + i / 100}" for i, t in enumerate(times))]) + "\n"


def local_days(n=200, zone="Europe/Berlin", first=(2024, 1, 15), hour=0, days=1):
    """Days at one local hour, written with the offsets that the zone has then."""
    begin = datetime(*first, hour)
    local = [begin + timedelta(days=days * k) for k in range(n)]
    shown = [t.replace(tzinfo=ZoneInfo(zone)) for t in local]
    return [t.astimezone(UTC).astimezone(t.tzinfo).isoformat() for t in shown]


def hours(first, n, zone="Europe/Berlin"):
    """Hours from an instant of UTC on, written with the offsets that the zone has then."""
    begin = datetime.fromisoformat(first).replace(tzinfo=UTC)
    return [(begin + timedelta(hours=k)).astimezone(ZoneInfo(zone)) for k in range(n)]


def regular(text, **how):
    table = read_table(text, TableFormat(**how))
    step = find_step(table, "x")
    return step, spaced(table, step, "x")


CUTS = {"valid": "2024-01-18", "test": "2024-01-21"}


def test_cuts_fall_at_midnight_of_the_file_s_own_clock(tmp_path):
    task = made(tmp_path, tokyo(), time="t", horizon=6, **CUTS)
    assert task.series.ends_P3.tolist() == [[408, 480, 600]]
    assert len(task.data("test", 0)) == 115
    assert task.baselines("test")["repeat_last"]["mase"] == pytest.approx(1.5636, abs=5e-5)


@pytest.mark.parametrize(
    "cuts",
    [
        {"valid": "2024-01-18T00:00+09:00", "test": "2024-01-21T00:00+09:00"},
        {"valid": "2024-01-17T15:00Z", "test": "2024-01-20T15:00Z"},
        {"valid": "2024-01-17 15:00:00 UTC", "test": "2024-01-20 15:00:00+0000"},
    ],
)
def test_cuts_with_an_offset_are_instants_of_a_file_with_offsets(tmp_path, cuts):
    task = made(tmp_path, tokyo(), time="t", horizon=6, **cuts)
    assert task.series.ends_P3.tolist() == [[408, 480, 600]]


@pytest.mark.parametrize(
    ("zone", "rows"), [("UTC", 417), ("+09:00", 408), ("Asia/Tokyo", 408), ("-03:30", 421)]
)
def test_a_zone_says_by_whose_clock_days_begin(tmp_path, zone, rows):
    task = made(tmp_path, tokyo(), time="t", horizon=6, zone=zone, **CUTS)
    assert task.series.ends_P3[0, 0] == rows


def test_the_calendar_is_local(tmp_path):
    text = rows_of(local_days(60, first=(2024, 6, 2)))  # a Sunday, +02:00
    s = made(tmp_path, text, calendar=("weekday", "hour"), **SMALL).series
    assert s.inputs_NI[0, 1:] == pytest.approx(
        [np.sin(2 * np.pi * 6 / 7), np.cos(2 * np.pi * 6 / 7), 0, 1], abs=1e-6
    )


def test_a_cut_with_an_offset_is_refused_where_the_file_has_none(tmp_path):
    text = tokyo().replace("+09:00", "")
    cuts = {"valid": "2024-01-18T00:00+09:00", "test": "2024-01-21T00:00+09:00"}
    with pytest.raises(DataError, match=r"have none.*task\.valid=2024-01-18T00:00:00, or.*task"):
        _ = made(tmp_path, text, **SMALL, **cuts).series
    named = made(tmp_path, text, **SMALL, **cuts, zone="Asia/Tokyo")
    assert named.series.ends_P3[0, 0] == 408  # the file's clock is known


def test_one_cut_with_an_offset_and_one_without_are_refused(tmp_path):
    with pytest.raises(DataError, match="some times have a time zone and others have none"):
        _ = made(tmp_path, tokyo(), valid="2024-01-18", test="2024-01-21T00:00Z", **SMALL).series


def test_rows_with_and_without_an_offset_are_refused_with_the_line(tmp_path):
    text = tokyo().replace("2024-01-03T04:00:00+09:00", "2024-01-03T04:00:00")
    with pytest.raises(DataError, match=r"line 54, column 't': it has no time zone, and those be"):
        _ = made(tmp_path, text, **SMALL).series


def test_a_cut_is_written_as_the_file_is_or_as_iso(tmp_path):
    text = tokyo().replace("2024-01-", "01/").replace("T", "/2024 ").replace("+09:00", " +0900")
    format = {"time_format": "%m/%d/%Y %H:%M:%S %z"}
    own = {"valid": "01/18/2024 00:00:00 +0900", "test": "01/21/2024 00:00:00 +0900"}
    for cuts in (CUTS, own):
        assert made(tmp_path, text, **SMALL, **cuts, **format).series.ends_P3[0, 0] == 408
    with pytest.raises(DataError, match=r"18\.01\.2024 is neither written as %m/%d/%Y .* nor of I"):
        _ = made(tmp_path, text, **SMALL, valid="18.01.2024", test="21.01.2024", **format).series


@pytest.mark.parametrize(
    ("times", "step", "season"),
    [
        (local_days(), "1 day", 7),
        (local_days(hour=12), "1 day", 7),
        (local_days(hour=2, first=(2024, 3, 1)), "1 day", 7),  # 02:00 is skipped on 31 March
        (local_days(60, days=7), "1 week", 52),
        (local_days(300, "America/New_York"), "1 day", 7),
        (local_days(500, "Australia/Sydney"), "1 day", 7),
        (local_days(500, "America/Sao_Paulo", (2016, 1, 1)), "1 day", 7),  # midnights are skipped
        (local_days(500, "Africa/Cairo", (2024, 4, 26)), "1 day", 7),  # so is the first
        ([t[:10] + "T00:00:00Z" for t in local_days()], "1 day", 7),
        ([t for t in local_days(700) if t[8:10] == "01"], "1 month", 12),
        (
            [datetime(2020 + k // 4, 3 * (k % 4) + 1, 1, tzinfo=BERLIN).isoformat()
             for k in range(20)], "3 months", 4,
        ),
        (hours("2024-03-25", 300), "1 hour", 24),
        (hours("2024-10-25", 300), "1 hour", 24),
    ],
    ids=["days", "noons", "a skipped hour", "weeks", "new york", "sydney", "skipped midnights",
         "a skipped midnight first", "utc", "months", "quarters", "spring hours", "autumn hours"],
)  # fmt: skip
def test_steps_are_whole_over_changes_of_the_clock(times, step, season):
    found, rows = regular(rows_of(times))
    assert (str(found), found.season, rows.gaps) == (step, season, 0)
    assert len(rows.times) == len(times)


@pytest.mark.parametrize("hour", [0, 6, 18])
def test_steps_below_a_day_may_be_of_the_local_clock_too(hour):
    local = [datetime(2024, 3, 20, hour % 6) + timedelta(hours=6 * k) for k in range(80)]
    found, rows = regular(rows_of([t.replace(tzinfo=BERLIN).isoformat() for t in local]))
    assert (str(found), found.local, rows.gaps) == ("6 hours", True, 0)
    assert rows.times == local


def test_a_missing_day_is_one_step_over_a_change_of_the_clock():
    times = [t for t in local_days() if t[:10] not in ("2024-03-30", "2024-03-31")]
    found, rows = regular(rows_of(times))
    assert (str(found), rows.gaps) == ("1 day", 2)
    assert rows.times[75:78] == [datetime(2024, 3, 30), datetime(2024, 3, 31), datetime(2024, 4, 1)]
    assert rows.instants[76] == datetime(2024, 3, 30, 23)


def test_days_written_in_utc_are_a_place_s_where_it_is_named(tmp_path):
    times = [datetime.fromisoformat(t).astimezone(UTC) for t in local_days()]
    text = rows_of([t.isoformat() for t in times])
    with pytest.raises(DataError, match=r"2024-03-31 22:00:00\+00:00 is not.*task\.zone=Europe/Be"):
        _ = made(tmp_path, text, **SMALL).series
    assert made(tmp_path, text, **SMALL, zone="Europe/Berlin").series.ends_P3[0, 2] == 200


def test_irregular_times_are_refused_as_they_stand_in_the_file():
    times = hours("2024-03-25", 300)
    text = rows_of([t.isoformat() for t in times]) + "2024-04-07T20:30:00+02:00,1\n"
    table = read_table(text, TableFormat())
    with pytest.raises(DataError, match=r"2024-04-07 20:30:00\+02:00 is not a whole number of st"):
        spaced(table, find_step(table, "x"), "x")


def test_local_hours_of_a_named_zone_are_told_apart_where_clocks_are_set_back(tmp_path):
    shown = [t.replace(tzinfo=None).isoformat() for t in hours("2024-10-25", 120)]
    with pytest.raises(DataError, match=r"line 51: its time, 2024-10-27 02:00:00.*task\.zone=Euro"):
        regular(rows_of(shown))
    for order in (shown, shown[::-1]):
        found, rows = regular(rows_of(order), zone="Europe/Berlin")
        assert (str(found), rows.gaps, len(rows.times)) == ("1 hour", 0, 120)
    del shown[49]  # one of the two hours: which one?
    with pytest.raises(DataError, match=r"line 50: the time 2024-10-27 02:00:00 is in doubt: clo"):
        regular(rows_of(shown), zone="Europe/Berlin")


def test_local_quarters_of_an_hour_are_told_apart_though_one_is_missing():
    first = datetime(2024, 10, 26, 20, tzinfo=UTC)
    shown = [(first + timedelta(minutes=15 * k)).astimezone(BERLIN) for k in range(60)]
    text = [t.replace(tzinfo=None).isoformat() for t in shown]
    del text[18]  # 02:30, the first one
    _, rows = regular(rows_of(text), zone="Europe/Berlin")
    assert (rows.gaps, len(rows.times)) == (1, 60)
    assert np.isnan(rows.values_ND[18, 0])


def test_a_local_hour_that_no_clock_shows_is_refused_where_hours_count():
    shown = [str(datetime(2024, 3, 30) + timedelta(hours=k)) for k in range(60)]
    with pytest.raises(DataError, match=r"line 28: the time 2024-03-31 02:00:00 is in doubt: no"):
        regular(rows_of(shown), zone="Europe/Berlin")
    assert regular(rows_of(shown))[1].gaps == 0  # without a zone every day has 24 hours


def test_cuts_at_an_hour_that_is_shown_twice_or_never_begin_at_the_first_row_that_late(tmp_path):
    for first, valid, row in (
        ("2024-10-25", "2024-10-27T02:00", 48),
        ("2024-03-29", "2024-03-31T02:30", 49),
    ):
        text = rows_of([t.isoformat() for t in hours(first, 200)])
        cuts = {"valid": valid, "test": valid.replace("02:", "22:")}
        task = made(tmp_path, text, f"{first}.csv", **SMALL, **cuts)
        assert task.series.ends_P3[0, 0] == row


def test_offsets_of_no_zone_are_refused_with_a_setting_that_helps(tmp_path):
    times = hours("2024-01-01", 100)
    text = rows_of([t.isoformat() for t in times]).replace("2024-01-03T00:00:00+01:00",
                                                           "2024-01-03T04:30:00+05:30")  # fmt: skip
    with pytest.raises(DataError, match=r"line 49: the time 2024-01-03 04:30:00\+05:30 has"):
        _ = made(tmp_path, text, **SMALL).series
    assert made(tmp_path, text, **SMALL, zone="UTC").series.ends_P3[0, 2] == 100


def test_each_series_may_follow_a_clock_of_its_own(tmp_path):
    places = {"berlin": "Europe/Berlin", "tokyo": "Asia/Tokyo", "new york": "America/New_York"}
    lines = ["t,place,v"]
    for k, (name, zone) in enumerate(places.items()):
        lines += [f"{t},{name},{k + i % 5}" for i, t in enumerate(local_days(120, zone))]
    settings = {"series_column": "place", "valid": "2024-04-15", "test": "2024-05-01"}
    task = made(tmp_path, "\n".join(lines), **SMALL, **settings)
    assert task.series.ends_P3[0].tolist() == [91, 107, 120]
    assert (np.diff(task.series.ends_P3[:, 0]) == 120).all()
    assert str(task.step) == "1 day"
    for zone in places.values():
        assert zone.replace("Asia/Tokyo", "+09:00") in task.what_is_read()
    assert "from 2024-04-15T00:00:00+02:00 on, after 91 steps of berlin" in task.what_is_read()


@pytest.mark.parametrize(
    ("zone", "why"),
    [("Berlin", "did you mean Europe/Berlin"), ("Europe/Berln", "Europe/Berlin"), ("x", "no time"),
     ("+25:00", "no time zone"), ("../x", "no time zone"), ("Europe", "no time zone")],
)  # fmt: skip
def test_a_zone_that_is_none_is_refused_at_once(zone, why):
    with pytest.raises(ValueError, match=why):
        CSVForecast(path="nowhere.csv", zone=zone)


@pytest.mark.parametrize(
    ("text", "meant"), [("UTC+2", r"\+02:00"), ("GMT-5:30", r"-05:30"), ("gmt +3", r"\+03:00")]
)
def test_an_offset_with_a_name_before_it_is_meant_as_people_write_it(text, meant):
    with pytest.raises(ValueError, match=f"did you mean {meant}[?]"):
        CSVForecast(path="nowhere.csv", zone=text)


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Athens"])
@pytest.mark.parametrize("freq", ["MS", "ME", "QS", "W-MON", "B"])
def test_zones_that_differ_only_where_no_row_ever_is_need_no_setting(zone, freq):
    times = pd.date_range("2020-01-01", periods=60, freq=freq, tz=zone)
    times = times if freq != "B" else pd.date_range("2020-01-01", periods=300, freq=freq, tz=zone)
    step, rows = regular(rows_of(t.isoformat() for t in times))
    assert step.of_days
    assert rows.clocks[0].name == zone


@pytest.mark.parametrize(
    ("cuts", "why"),
    [
        ({"valid": "2025-01-18", "test": "2025-01-21"}, "no row of the file is at or after the"),
        ({"valid": "2023-01-18", "test": "2024-01-21"}, "no row of the file is before them"),
    ],
)
def test_cuts_outside_the_file_are_told_with_its_times(tmp_path, cuts, why):
    with pytest.raises(DataError, match=why):
        _ = made(tmp_path, tokyo(), **SMALL, **cuts).series


def test_an_hour_in_doubt_is_shown_with_an_offset_of_its_zone():
    shown = dict.fromkeys(t.strftime("%Y-%m-%d %H:%M")
                          for t in hours("2023-10-20T00:00", 900, "America/New_York"))  # fmt: skip
    with pytest.raises(DataError, match=r"2023-11-05 01:00:00 is in doubt.*T01:00:00-04:00"):
        regular(rows_of(shown), zone="America/New_York")


def test_a_format_that_reads_a_zone_s_name_and_forgets_it_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"%Z.*task\.zone=UTC"):
        CSVForecast(path="nowhere.csv", time_format="%Y-%m-%d %H:%M:%S %Z")
    text = tokyo().replace("+09:00", " JST")
    format = "%Y-%m-%dT%H:%M:%S JST"
    task = made(tmp_path, text, **SMALL, **CUTS, time_format=format, zone="Asia/Tokyo")
    assert task.series.ends_P3[0, 0] == 408


@pytest.mark.parametrize("first", ["9999-12-01", "0001-01-01T00:00+09:00"])
def test_years_that_stand_for_no_date_are_refused_with_their_line(first):
    with pytest.raises(DataError, match=r"line 2, column 't': the year .* no date"):
        regular(rows_of([first]))


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_parquet_brings_its_zone(tmp_path, unit):
    pa = pytest.importorskip("pyarrow", reason="pyarrow: pip install 'rnnbench[parquet]'")
    from pyarrow import parquet

    times = [datetime.fromisoformat(t) for t in local_days()]
    table = pa.table({
        "t": pa.array(times, pa.timestamp("us", "Europe/Berlin")).cast(
            pa.timestamp(unit, "Europe/Berlin")
        ),
        "v": [float(i % 9) for i in range(200)],
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "t.parquet")
    cuts = {"valid": "2024-04-15", "test": "2024-05-15"}
    task = CSVForecast(path=str(tmp_path / "t.parquet"), **SMALL, **cuts)
    assert task.series.ends_P3.tolist() == [[91, 121, 200]]
    assert "Europe/Berlin" in task.what_is_read()
