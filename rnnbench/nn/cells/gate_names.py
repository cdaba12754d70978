"""The places of what initialisation tricks draw anew: recurrent matrices and gates' biases.

A cell that names its gates in `gate_names` lets tricks find them, in the order of the rows of its
linear maps. The names say what a gate does, since letters differ from paper to paper:

- "forget": σ of it is the share of the old value that is kept;
- "input": σ of it is the share of the candidate that is written;
- "update": σ of it is the share of the candidate that is written, and the rest of the old value
  is kept;
- "candidate", "output", "reset": what they say.

A cell with "forget" and without "input" writes what it does not keep (the gated recurrent unit).
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from rnnbench.contract import Cell, Refusal
from rnnbench.nn.cells.gated import GatedCell
from rnnbench.nn.cells.wrapper import CellWrapper


class Gate(NamedTuple):
    """The rows of a gate in a cell's linear maps.

    Attributes:
        name: "" where the cell does not name its gates.
    """

    cell: Cell
    name: str
    rows: slice


def innermost_cells(model: nn.Module, trick: str) -> list[Cell]:
    """Return every cell of a model, without what is wrapped around it.

    Raises:
        Refusal: there is none.
    """
    cells = [m for m in model.modules() if isinstance(m, Cell) and not isinstance(m, CellWrapper)]
    if not cells:
        raise Refusal(
            f"{trick} acts on a recurrent cell; this model has none.\n"
            f"  Drop {trick}, or choose an architecture from: rnnbench list architectures "
            "--site cell"
        )
    return cells


def gates(cell: Cell, trick: str) -> list[Gate]:
    """Return the gates of a cell from the top of its recurrent matrix down.

    Raises:
        Refusal: its recurrent matrix does not consist of gates of the hidden width.
    """
    matrix = parameter(cell, "weight_h", trick)
    hidden, names = getattr(cell, "hidden", cell.width), getattr(cell, "gate_names", ())
    rows, columns = (0, 0) if matrix is None or matrix.dim() != 2 else matrix.shape
    count, remainder = divmod(rows, hidden)
    # Rows of a cell of its own kind that are a multiple of its width need not be gates.
    gated = bool(names) or isinstance(cell, GatedCell) or count == 1
    if not count or remainder or columns % cell.width or not gated:
        raise Refusal(
            f"{trick} needs a recurrent matrix `weight_h` of gates of the hidden width; that of "
            f"{type(cell).__name__} has another form.\n  Drop {trick}, or choose another cell, "
            "such as lstm, gru or elman."
        )
    names = names or ("",) * count
    if len(names) != count:
        raise ValueError(f"{type(cell).__name__} has {count} gates and names {names}")
    return [Gate(cell, n, slice(i * hidden, (i + 1) * hidden)) for i, n in enumerate(names)]


def recurrent_blocks(gate: Gate, trick: str) -> list[Tensor]:
    """Return a gate's matrices, (H, H) or with projection (H, P): one a delay that it reads."""
    matrix = parameter(gate.cell, "weight_h", trick)
    assert matrix is not None
    return list(matrix.data[gate.rows].split(gate.cell.width, 1))


def set_bias(gate: Gate, value_H: Tensor | float, trick: str) -> None:
    """Let the biases of a gate sum up to a value: the first one is it, and others are 0.

    Raises:
        Refusal: the cell has no biases, or another trick has set this one.
    """
    parameters = [parameter(gate.cell, name, trick) for name in ("bias_x", "bias_h", "bias")]
    biases = [b for b in parameters if b is not None]
    if not biases:
        raise Refusal(f"{trick} sets biases; {type(gate.cell).__name__} has none.\n  Drop {trick}.")
    claim(gate.cell, f"the bias of the {gate.name} gate" if gate.name else "the bias", trick)
    for i, bias in enumerate(biases):
        bias.data[gate.rows] = value_H if i == 0 else 0.0


def claim(cell: Cell, what: str, by: str) -> None:
    """Note who has initialised a part of a cell.

    Raises:
        Refusal: somebody else has, and would be ignored.
    """
    claims: tuple[tuple[str, str], ...] = cell.__dict__.setdefault("claimed", ())
    for part, other in claims:
        if part == what and other != by:
            raise Refusal(
                f"{by} and {other} both initialise {what}, and only the last would count.\n"
                "  Drop one of the two."
            )
    cell.__dict__["claimed"] = (*claims, (what, by))


def parameter(cell: Cell, name: str, trick: str) -> nn.Parameter | None:
    """Return a parameter of a cell by name, or None.

    Raises:
        Refusal: another trick has put something else in its place.
    """
    value = cell._parameters.get(name)
    if value is None and isinstance(getattr(cell, name, None), Tensor):
        raise Refusal(
            f"{trick} initialises {name} of {type(cell).__name__}, in whose place a trick listed "
            f"before it has put something else.\n  List {trick} first."
        )
    return value
