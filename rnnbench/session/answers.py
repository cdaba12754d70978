"""Turns what is asked in Python into what a task reads, and its answers into values."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from rnnbench.errors import RunError, SpecError
from rnnbench.session.listing import as_frame

if TYPE_CHECKING:
    import numpy
    import pandas


@dataclass(frozen=True, repr=False)
class Answer:
    """The answer of a run's model to one input.

    Attributes:
        text: as `rnnbench predict` prints it.
        log_probability_nats: of the output, where it was decoded step by step.
        attention: a list for each output step, where the model has it.
        cut_off_at: tokens after which the output was cut off; None where it ended by itself.
        columns: names of the values of a step, where the text has no header.
        notes: what is to be known of it, where the task has something to say.
    """

    text: str
    log_probability_nats: float | None = None
    attention: list[list[float]] | None = None
    cut_off_at: int | None = None
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> numpy.ndarray:
        """Return the numbers of the output: (steps, columns), or (steps,) of tokens.

        Raises:
            RunError: the output is words.
        """
        import numpy

        words = self.text.split()
        if "\n" not in self.text.strip() and "," not in self.text and all(map(_is_number, words)):
            return numpy.array([float(word) for word in words])
        header, rows = self._table()
        numbers = [i for i in range(len(header)) if all(_is_number(row[i]) for row in rows)]
        if not numbers:
            raise RunError("the answer is words, not numbers: take .text")
        return numpy.array([[float(row[i]) for i in numbers] for row in rows])

    def to_pandas(self) -> pandas.DataFrame:
        """Return the output as a DataFrame, a row a step; numbers are numbers, and times are text.

        Raises:
            RunError: the output is words.
            MissingPandasError: pandas is not installed.
        """
        self.values  # noqa: B018  (refuses words)
        header, rows = self._table()
        cells = [[float(c) if _is_number(c) else c for c in row] for row in rows]
        return as_frame([dict(zip(header, row, strict=True)) for row in cells], header)

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """Return the names of the columns, and the rows below them.

        Raises:
            RunError: it is no table.
        """
        rows = [row for row in csv.reader(io.StringIO(self.text)) if row]
        if not rows or len({len(row) for row in rows}) > 1:
            raise RunError("the answer is words, not numbers: take .text")
        if len(rows) > 1 and not all(map(_is_number, rows[0])):
            return rows[0], rows[1:]
        if len(self.columns) == len(rows[0]):
            return list(self.columns), rows
        return [f"output {i}" for i in range(len(rows[0]))], rows

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<pre>{escape(self.text)}</pre>{notes}"


class AskedInNumbers:
    """A task that is asked in the numbers that a model reads, and not in its words for them."""

    def __init__(self, task: Any) -> None:
        self._task = task

    def ask(self, text: str) -> Any:
        """Read the text as the contract does."""
        from rnnbench.contract import Task

        return Task.ask(self._task, text)

    def ask_rows(self, text: str) -> None:
        """Read it as one input."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_table(x: Any) -> bool:
    """Tell whether something is a DataFrame or a Series, of pandas or polars."""
    return hasattr(x, "to_csv") or hasattr(x, "write_csv") or hasattr(x, "to_frame")


def table_as_text(x: Any, time: str = "time") -> str:
    """Return a table as CSV, with its index where that has a name or times.

    Args:
        time: the column in which times without a name go.
    """
    if hasattr(x, "to_csv"):
        index = x.index
        named = index.name is not None
        times = type(index).__name__ in ("DatetimeIndex", "PeriodIndex")
        return str(x.to_csv(index=named or times, index_label=index.name if named else time))
    return str((x if hasattr(x, "write_csv") else x.to_frame()).write_csv())


def question(x: Any, task: Any) -> tuple[str, bool]:
    """Return what a task is asked, and whether it is numbers, which the contract's reader takes.

    Args:
        x: text, a table, or an array of numbers.

    Raises:
        SpecError: it is none of these, or a table that the task does not read.
    """
    if isinstance(x, str):
        return x, False
    if is_table(x):
        if not hasattr(type(task), "series"):
            raise SpecError(
                f"{task.name} reads no table: give one input at a time, as text, or the numbers "
                "that it reads as an array, such as frame.to_numpy()"
            )
        return table_as_text(x, getattr(task, "time", None) or "time"), False
    if isinstance(x, (list, tuple)) and x and all(isinstance(part, str) for part in x):
        raise SpecError("predict takes one input at a time: [run.predict(x) for x in texts]")
    if hasattr(x, "shape") or isinstance(x, (list, tuple)):
        return numbers_as_text(x), True
    raise SpecError(
        f"predict takes text, a DataFrame, or an array of numbers; got a {type(x).__name__}"
    )


def numbers_as_text(x: Any) -> str:
    """Return an array as the contract's own reader of numbers takes it.

    Raises:
        SpecError: it has more than two dimensions, or is empty.
    """
    import numpy

    try:
        values = numpy.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    except ValueError:  # rows of unequal length
        values = numpy.array([None])
    if values.ndim not in (1, 2) or not values.size or values.dtype.kind not in "iufb":
        raise SpecError(
            "predict takes one input as numbers: (steps,) tokens, or (steps, width) values; got "
            f"the shape {values.shape} of {values.dtype}"
        )
    if values.ndim == 1 and values.dtype.kind in "iub":
        return " ".join(map(str, values.astype(int).tolist()))
    rows = values.reshape(len(values), -1).astype(float).tolist()
    return "\n".join(",".join(map(repr, row)) for row in rows)
