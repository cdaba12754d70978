"""Forecasts of what follows a user's rows: of every series in them, written as they are."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Answers, Batch
from rnnbench.data import DataError, calendar_features
from rnnbench.data.series.columns import is_unnamed
from rnnbench.data.series.kinds import indicators
from rnnbench.data.series.local_times import TimeWriter
from rnnbench.data.series.regular_steps import Spaced, spaced
from rnnbench.data.series.repeated_times import without_repeats
from rnnbench.data.series.table_summary import write_names
from rnnbench.data.series.tables import Table, read_table

SERIES = "series"  # the column by which an input names series that are files of their own
QUANTILES = (0.05, 0.1, 0.9, 0.95)  # that are written beside the forecast of a distribution


def known_columns(rows: Spaced, calendar: Sequence[str], table: Table) -> np.ndarray:
    """Return the inputs (N, K) that are read as they are: of the calendar, then of kinds."""
    known_NK = calendar_features(rows.times, calendar)
    if not table.kinds:
        return known_NK
    code_NK = rows.values_ND[:, len(table.columns.numbers) :]
    begin_N = np.repeat([0, *rows.ends_P[:-1]], np.diff(rows.ends_P, prepend=0))
    return np.concatenate([known_NK, indicators(code_NK, table.kinds, begin_N)], 1)


def writer_of(
    table: Table, rows: Spaced, series: int, time_format: str, decimal: str
) -> TimeWriter:
    """Return what writes times as a series of a table has them."""
    pairs = zip(table.times, table.series, strict=True)
    own = [time for time, whose in pairs if whose == rows.names[series]]
    return TimeWriter(own, rows.clocks[series], table.time_like, time_format, decimal)


class _Asked(NamedTuple):
    """A series of an input, from whose last rows is forecast."""

    name: str
    x_1TI: np.ndarray
    restore: Any
    last: int  # its last row that is read
    write: TimeWriter


class TableAnswers:
    """Reads rows as the table of a task is read, and writes what is forecast of them.

    Args:
        task: a `CSVForecast`, whose module imports this one.
    """

    def __init__(self, task: Any) -> None:
        self.task, self.prepared = task, task._prepared
        self.targets = tuple(self.prepared["columns"][: self.prepared["targets"]])

    def ask(self, text: str) -> Answers:
        """Return the windows that end the series of a text, and how their forecasts are written.

        Raises:
            ValueError: it cannot be read, or a series is too short.
        """
        task, prepared = self.task, self.prepared
        clocks = dict(zip(prepared["names"], prepared["clocks"], strict=True))
        kinds = prepared["kinds"]
        how = replace(
            task._table_format, values=self.targets, encoding="utf-8", zone=task.zone or clocks,
            time="" if is_unnamed(prepared["time"]) else prepared["time"],
            aware=None if task.zone else prepared["aware"],
            labels={column: tuple(labels) for column, labels in kinds.items()}, settled=True,
        )  # fmt: skip
        if self._names_series(text):
            how = replace(how, series=SERIES)
        try:
            table, _ = without_repeats(read_table(text, how), task.duplicates)
            rows = spaced(table, task.step, "the input")
        except DataError as error:
            raise ValueError(str(error)) from error
        rows = self._named(rows)
        known_NK = known_columns(rows, task.calendar, table)
        begins = [0, *rows.ends_P[:-1].tolist()]
        notes: list[str] = self._notes_on_kinds(rows, table)
        asked = [
            self._ask_series(table, rows, known_NK, i, begin, end, notes)
            for i, (begin, end) in enumerate(zip(begins, rows.ends_P.tolist(), strict=True))
        ]
        x_BTI = torch.from_numpy(np.concatenate([a.x_1TI for a in asked]))
        y_BSV = torch.zeros(len(asked), task.horizon, len(self.targets))

        def read(y_BSV: Tensor, out: Tensor | None) -> str:
            return self._write(table, rows, asked, y_BSV, out)

        return Answers(Batch(x_BTI, y_BSV), read, tuple(notes))

    def _named(self, rows: Spaced) -> Spaced:
        """Return the rows of one file by the name of the only series that training had."""
        names = self.prepared["names"]
        if not self.task.series_column and rows.names == ("",) and len(names) == 1:
            return rows._replace(names=(names[0],))
        return rows

    def _names_series(self, text: str) -> bool:
        """Tell whether an input names series that training had one of in each file."""
        first = text.lstrip("\ufeff").partition("\n")[0]
        cells = [cell.strip().strip('"') for cell in re.split(r"[,;\t|]", first)]
        return self.prepared["files"] > 1 and not self.task.series_column and SERIES in cells

    def _notes_on_kinds(self, rows: Spaced, table: Table) -> list[str]:
        begin = len(table.columns.numbers)
        return [
            f"the column {column!r} has kinds that training did not have; they are read as none of "
            f"those it had"
            for k, column in enumerate(table.kinds)
            if (rows.values_ND[:, begin + k] == 0).any()
        ]

    def _ask_series(
        self, table: Table, rows: Spaced, known_NK: np.ndarray, i: int, begin: int, end: int,
        notes: list[str],
    ) -> _Asked:  # fmt: skip
        task, series, name = self.task, self.task.series, rows.names[i]
        whose = f" of series {name!r}" if name else ""
        later = task.horizon if task.ahead else 0
        need = task.context + later
        if end - begin < need:
            ahead = f", the last {later} of them of the horizon" if later else ""
            raise ValueError(
                f"{task.name} reads {need} steps of {task.step}{ahead}; the input has "
                f"{end - begin}{whose}"
            )
        values_ND = rows.values_ND[begin:end, : len(table.columns.numbers)]
        known_NK = known_NK[end - need : end]
        moments = None
        if name not in series.names:
            moments = self._own_moments(values_ND[: len(values_ND) - later], name, notes)
        x_1TI, restore = series.tail(
            values_ND, known_NK, task.centre, context=task.context, horizon=later,
            series=series.names.index(name) if name in series.names else 0, moments=moments,
        )  # fmt: skip
        # Times are written as the table has them: its names, and not those of training.
        at = min(i, len(rows.names) - 1)
        named = rows._replace(names=tuple(dict.fromkeys(table.series)))
        write = writer_of(table, named, at, task.time_format, task.decimal)
        return _Asked(name, x_1TI, restore, end - later - 1, write)

    def _own_moments(
        self, values_ND: np.ndarray, name: str, notes: list[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation of a series that training did not have, and note it."""
        task = self.task
        if task.scaled == "together":
            notes.append(f"training did not have the series {name!r}; it is scaled as all others")
            return task.series.mean_PD[0], task.series.std_PD[0]
        with np.errstate(invalid="ignore"):
            known_D = np.isfinite(values_ND).any(0)
            mean_D = np.where(known_D, np.nan_to_num(np.nanmean(values_ND[:, :], 0)), 0.0)
            std_D = np.where(known_D, np.nan_to_num(np.nanstd(values_ND, 0)), 0.0)
        flat_D = ~(std_D > 1e-12 * np.abs(mean_D))
        if flat_D.any():
            column = task.series.columns[int(flat_D.argmax())]
            raise ValueError(
                f"{task.name} was not trained on a series {name!r}, which is scaled by its own "
                f"rows then, and its {column!r} is the same in all {len(values_ND)} of them. Give "
                "more rows of it, or train with task.scaled=together"
            )
        if not name:
            notes.append(
                f"the input does not say which series it is of ({write_names(task.series.names)}): "
                f"name it in a column {SERIES!r}, and it is scaled as that one was"
            )
        notes.append(
            f"training did not have the series {name!r}; it is scaled by the mean and the "
            f"deviation of its own {len(values_ND)} rows: more rows scale it better"
        )
        return mean_D, std_D

    def _write(
        self, table: Table, rows: Spaced, asked: Sequence[_Asked], y_BSV: Tensor,
        out: Tensor | None,
    ) -> str:  # fmt: skip
        """Return forecasts as a CSV; those of distributions with quantiles beside them."""
        task = self.task
        law = task.target.distribution if out is not None else None
        file = io.StringIO()
        writer = csv.writer(file, delimiter=table.delimiter, lineterminator="\n")
        told = any(series.name for series in asked) and len(task.series.names) > 1
        told = told or bool(task.series_column)
        levels = [f"{c} {100 * q:g}%" for c in self.targets for q in QUANTILES] if law else []
        if task.header:
            named = [task.series_column or SERIES] * told
            writer.writerow([table.columns.time, *named, *self.targets, *levels])
        for b, series in enumerate(asked):
            blocks = [series.restore(y_BSV[b].double().numpy())]
            if law is not None and out is not None:
                of_levels = [law.quantile(out[b].double(), q).numpy() for q in QUANTILES]
                restored = np.stack([series.restore(q) for q in of_levels], -1)  # (S, V, Q)
                blocks.append(restored.reshape(len(restored), -1))
            for s, values in enumerate(np.concatenate(blocks, 1), 1):
                by_rows = task.steps == "rows"
                time = f"+{s}" if by_rows else series.write(*rows.later(series.last, task.step, s))
                numbers = map(task._table_format.numbers.write, values)
                writer.writerow([time, *([series.name] * told), *numbers])
        return file.getvalue().rstrip("\n")
