"""Rows that show as a table: in a notebook, in a terminal, or as a DataFrame of pandas."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, overload

from rnnbench.errors import UserError

if TYPE_CHECKING:
    import pandas


class MissingPandasError(UserError, ImportError):
    """A DataFrame was asked for, and pandas is not installed."""


def as_frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> pandas.DataFrame:
    """Return rows as a DataFrame.

    Raises:
        MissingPandasError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingPandasError(
            "a DataFrame needs pandas: pip install 'rnnbench[pandas]'"
        ) from error
    return pandas.DataFrame([dict(row) for row in rows], columns=list(columns) or None)


class Listing(Sequence[dict[str, Any]]):
    """Rows with the same columns, as dictionaries.

    Attributes:
        rows: all that is known of each.
        columns: those that are shown.
        notes: lines that stand below the table.
    """

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = (), *,
        notes: Sequence[str] = (), empty: str = "nothing",
    ) -> None:  # fmt: skip
        self.rows = [dict(row) for row in rows]
        self.columns = list(columns) or list(dict.fromkeys(k for row in self.rows for k in row))
        self.notes = list(notes)
        self._empty = empty

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> Listing: ...
    def __getitem__(self, at: int | slice) -> dict[str, Any] | Listing:
        if isinstance(at, slice):
            return Listing(self.rows[at], self.columns, notes=self.notes, empty=self._empty)
        return self.rows[at]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def to_pandas(self) -> pandas.DataFrame:
        """Return all that is known of each row as a DataFrame.

        Raises:
            MissingPandasError: pandas is not installed.
        """
        every = dict.fromkeys([*self.columns, *(k for row in self.rows for k in row)])
        return as_frame(self.rows, list(every))

    def __repr__(self) -> str:
        if not self.rows:
            return "\n".join([self._empty, *self.notes])
        from rich.table import Table

        from rnnbench.report.terminal.plain_console import plain_console

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in self.columns:
            table.add_column(name, overflow="fold", justify=self._side(name))
        for row in self.rows:
            table.add_row(*(shown(row.get(name)) for name in self.columns))
        out = io.StringIO()
        width = max(80, min(160, self._width()))
        plain_console(file=out, width=width, color_system=None).print(table)
        lines = [line.rstrip() for line in out.getvalue().splitlines()]
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        if not self.rows:
            return "".join(f"<p>{escape(text)}</p>" for text in [self._empty, *self.notes])
        cells = [[shown(row.get(name)) for name in self.columns] for row in self.rows]
        sides = [self._side(name) for name in self.columns]
        return html_table(self.columns, cells, sides) + "".join(
            f"<p>{escape(note)}</p>" for note in self.notes
        )

    def _side(self, name: str) -> Any:
        values = [row.get(name) for row in self.rows if row.get(name) is not None]
        numbers = values and all(isinstance(v, (int, float)) for v in values)
        return "right" if numbers else "left"

    def _width(self) -> int:
        return sum(
            2 + max(len(name), *(len(shown(row.get(name))) for row in self.rows))
            for name in self.columns
        )


def shown(value: Any) -> str:
    """Return a value as tables show it: numbers to five digits, "" for none."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(shown, value))
    return f"{value:,}" if type(value) is int else str(value)


def html_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], sides: Sequence[str] = ()
) -> str:
    """Return a table of HTML; all text in it is taken as text."""
    styles = [f' style="text-align:{side}"' for side in sides] or [""] * len(header)

    def line(tag: str, cells: Sequence[str]) -> str:
        made = [
            f"<{tag}{style}>{escape(cell).replace(chr(10), '<br>')}</{tag}>"
            for style, cell in zip(styles, cells, strict=True)
        ]
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<table><thead>{line('th', header)}</thead><tbody>{body}</tbody></table>"
