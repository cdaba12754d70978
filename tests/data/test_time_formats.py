"""Times as tables hold them: quarters of a year."""

from datetime import UTC, datetime

import pytest

from rnnbench.data.series.time_formats import TimeReader, read_iso, write_like

WRITTEN = ["1950Q1", "1950-Q1", "1950 Q1", "1950q1", "Q1 1950", "Q1/1950", "q1-1950", "Q11950"]


@pytest.mark.parametrize("cell", WRITTEN)
def test_quarters_are_read_however_they_are_written(cell):
    for quarter, month in enumerate((1, 4, 7, 10), 1):
        text = cell.replace("Q1", f"Q{quarter}").replace("q1", f"q{quarter}")
        assert TimeReader("")(text) == datetime(1950, month, 1)


@pytest.mark.parametrize("cell", WRITTEN)
def test_quarters_are_written_as_they_were_read(cell):
    written = write_like(datetime(2031, 10, 1), cell, "")
    assert written == cell.replace("Q1", "Q4").replace("q1", "q4").replace("1950", "2031")
    assert read_iso(written) == datetime(2031, 10, 1)


@pytest.mark.parametrize("cell", ["1950Q0", "1950Q5", "50Q1", "1950--Q1", "Q1", "1950Q", "1950W1"])
def test_what_is_no_quarter_is_refused(cell):
    with pytest.raises(ValueError, match="is not a time of ISO 8601"):
        TimeReader("")(cell)


@pytest.mark.parametrize(
    "time", [datetime(2031, 10, 2), datetime(2031, 11, 1), datetime(2031, 10, 1, 6)]
)
def test_a_time_within_a_quarter_is_written_whole(time):
    assert write_like(time, "1950Q1", "").startswith(f"{time:%Y-%m-%d}")


def test_a_quarter_with_a_zone_is_none():
    assert "+00:00" in write_like(datetime(2031, 10, 1, tzinfo=UTC), "1950Q1", "")


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        ("31.03.2024 07:30", r"'task\.time_format=%d\.%m\.%Y %H:%M'"),
        ("04/05/2024", "task.time_format=%d/%m/%Y or task.time_format=%m/%d/%Y"),
        ("12/31/24 11:59 PM", "'task.time_format=%m/%d/%y %I:%M %p'"),
        ("Mar 2024", "'task.time_format=%b %Y'"),
        ("week nine", "task.time_format=%d/%m/%Y"),
    ],
)
def test_a_time_of_another_form_is_refused_with_the_formats_that_read_it(cell, advice):
    with pytest.raises(ValueError, match=f"such as {advice}$"):
        TimeReader("")(cell)


@pytest.mark.parametrize("cell", ["1700000000000000001", 1700000000000000001, "-9007199254740993"])
def test_a_time_that_a_float_does_not_hold_is_refused(cell):
    with pytest.raises(ValueError, match="more digits than are told apart in a time"):
        TimeReader("")(cell)


@pytest.mark.parametrize("cell", ["1700000000000000000", 1700000060000000000, "9007199254740992"])
def test_nanoseconds_that_a_float_holds_are_times(cell):
    assert TimeReader("")(cell) == int(cell)
