"""What is asked in Python reaches the task as a file would, and its answer comes back as values."""

import pandas as pd
import pytest

from rnnbench.data.tasks.forecasting import Forecast
from rnnbench.errors import RunError, SpecError
from rnnbench.session.answers import Answer, question
from rnnbench.session.listing import Listing


class Words:
    name = "words"


DAYS = pd.date_range("2024-01-01", periods=2)
FRAME = pd.DataFrame({"y": [1.5, 2.0]})


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (FRAME, "y\n1.5\n2.0\n"),
        (FRAME.set_index(DAYS), "time,y\n2024-01-01,1.5\n2024-01-02,2.0\n"),
        (FRAME.set_index(DAYS.rename("day")), "day,y\n2024-01-01,1.5\n2024-01-02,2.0\n"),
        (FRAME["y"], "y\n1.5\n2.0\n"),
    ],
)
def test_a_table_is_read_as_its_csv_is(table, text):
    assert question(table, Forecast.__new__(Forecast)) == (text, False)


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (FRAME, "words reads no table"),
        (pd.Series(["a", "b"]), "words reads no table"),
        (["a", "b"], "one input at a time"),
        (None, "got a NoneType"),
        ([[1.0], [2.0, 3.0]], "predict takes one input as numbers"),
        ([], "predict takes one input as numbers"),
    ],
)
def test_what_would_be_misread_is_refused(x, told):
    with pytest.raises(SpecError, match=told):
        question(x, Words())


def test_numbers_keep_every_digit():
    assert question([[0.1, 1e-17], [3, 4]], Words()) == ("0.1,1e-17\n3.0,4.0", True)
    assert question([True, 2], Words()) == ("1 2", True)


@pytest.mark.parametrize(
    ("answer", "shape", "columns"),
    [
        (Answer("3 1 2"), (3,), None),
        (Answer("1.5\n2"), (2, 1), ["output 0"]),
        (Answer("1.5\n2", columns=("y",)), (2, 1), ["y"]),
        (Answer("time,y,z\n2024-01-01,1,2\n2024-01-02,3,4"), (2, 2), ["time", "y", "z"]),
    ],
)
def test_an_answer_of_numbers_has_values_and_a_frame(answer, shape, columns):
    assert answer.values.shape == shape
    if columns is not None:
        assert list(answer.to_pandas().columns) == columns


def test_an_answer_of_words_has_text_alone():
    answer = Answer("a <b> c")
    assert (str(answer), answer._repr_html_()) == ("a <b> c", "<pre>a &lt;b&gt; c</pre>")
    with pytest.raises(RunError, match="words, not numbers"):
        _ = answer.values
    with pytest.raises(RunError, match="words, not numbers"):
        answer.to_pandas()


def test_a_listing_shows_markup_as_text_and_lines_as_lines():
    shown = Listing([{"text": "<b>\n&"}], notes=["1 < 2"])._repr_html_()
    assert "&lt;b&gt;<br>&amp;" in shown
    assert "<p>1 &lt; 2</p>" in shown
    assert repr(Listing([], empty="no runs yet")) == "no runs yet"
