"""The arrays that the emitted C reads and writes, and the sizes that it is given.

Names in the C: T steps, B rows, and for each buffer x the width w_x of a row.
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class BufferKind(enum.Enum):
    """The kinds of arrays; the value is their name in C, before their number if they have one."""

    # Forwards; (T, B, width) where nothing else is said.
    INPUT = "p"  # the projected input
    STATE = "s"  # a state after each step
    START = "os"  # a state before the first step (B, width)
    NOISE = "n"
    CONST = "c"  # the same at all steps; its form is in `LoopPlan.const_forms`
    PRODUCT = "q"
    FACTOR = "u"  # the first factor of a product, where it is no state
    OUTPUT = "y"  # where the output is no state
    PACKED = "g"  # a matrix as products read it
    # Backwards.
    INPUT_ADJOINT = "dp"
    PRODUCT_ADJOINT = "dq"
    FACTOR_ADJOINT = "du"  # (B, width)
    OUTPUT_ADJOINT = "dy"
    STATE_ADJOINT = "d"  # of a state after this step (B, width)
    OLD_STATE_ADJOINT = "e"  # of a state before this step (B, width)
    ROW_SUM = "fc"  # the gradient of a const with a value a row (B, width)
    STEP_SUM = "tc"  # of another const: of this step
    TOTAL_SUM = "rc"  # of another const: of all steps so far


class Buffer(NamedTuple):
    """An array of the emitted C; as text it is its name there.

    Attributes:
        number: of the state, noise, const or product; -1 where there is one buffer of its kind.
    """

    kind: BufferKind
    number: int = -1

    def __str__(self) -> str:
        return self.kind.value if self.number < 0 else f"{self.kind.value}{self.number}"

    def of_kind(self, kind: BufferKind) -> Buffer:
        """Return the buffer of another kind with this number."""
        return Buffer(kind, self.number)


INPUT = Buffer(BufferKind.INPUT)
OUTPUT = Buffer(BufferKind.OUTPUT)
INPUT_ADJOINT = Buffer(BufferKind.INPUT_ADJOINT)
OUTPUT_ADJOINT = Buffer(BufferKind.OUTPUT_ADJOINT)

_ADJOINTS = {  # where the adjoint of what a step reads is kept
    BufferKind.INPUT: BufferKind.INPUT_ADJOINT,
    BufferKind.STATE: BufferKind.OLD_STATE_ADJOINT,
    BufferKind.PRODUCT: BufferKind.PRODUCT_ADJOINT,
    BufferKind.CONST: BufferKind.ROW_SUM,
}
_PRIMALS = {adjoint: primal for primal, adjoint in _ADJOINTS.items()}
_TARGET_ADJOINTS = {  # where the adjoint of what a step makes is kept
    BufferKind.STATE: BufferKind.STATE_ADJOINT,
    BufferKind.FACTOR: BufferKind.FACTOR_ADJOINT,
    BufferKind.OUTPUT: BufferKind.OUTPUT_ADJOINT,
}


def adjoint_of(buffer: Buffer) -> Buffer:
    """Return where the adjoint of a buffer that a step reads is kept."""
    return buffer.of_kind(_ADJOINTS[buffer.kind])


def adjoint_of_target(buffer: Buffer) -> Buffer:
    """Return where the adjoint of a buffer that a step writes is kept."""
    return buffer.of_kind(_TARGET_ADJOINTS[buffer.kind])


def primal_of(adjoint: Buffer) -> Buffer:
    """Return the buffer that a step reads and whose adjoint is kept here."""
    return adjoint.of_kind(_PRIMALS[adjoint.kind])


class SizeKind(enum.Enum):
    """The numbers that the emitted C is given at each call."""

    STEPS = "T"
    ROWS = "B"
    UNIT = "U"  # the columns of a loop
    WIDTH = "w"  # elements of a row of a buffer
    ROW_STRIDE = "rs"  # of the matrix of a product
    COLUMN_STRIDE = "cs"


class Size(NamedTuple):
    """A number that the emitted C is given.

    Attributes:
        of: the unit in columns, the buffer of a width, or the index of a product.
    """

    kind: SizeKind
    of: int | Buffer | None = None
