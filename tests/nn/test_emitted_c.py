"""The C that is emitted for a small LSTM, beside this file: to be read, and to see what changes.

To renew it: python tests/nn/test_emitted_c.py > tests/nn/emitted_lstm.c
"""

from pathlib import Path

import pytest
import torch

from rnnbench.nn.scan.c.buffers import Buffer, BufferKind
from rnnbench.nn.scan.c.emit_forward import emit
from rnnbench.nn.scan.c.loops import make_plan
from rnnbench.nn.scan.c.math_functions import MATHS
from rnnbench.nn.scan.cell_snapshot import take_snapshot
from rnnbench.nn.scan.trace_step import capture
from rnnbench_architectures.lstm import LSTMCell

GOLDEN = Path(__file__).with_name("emitted_lstm.c")
ROWS, D_IN, HIDDEN = 2, 3, 4


def lstm_plan():
    cell = LSTMCell(D_IN, HIDDEN)
    x_BD = torch.zeros(ROWS, D_IN)
    state = cell.initial(x_BD)
    p_BG = cell.project(x_BD[:, None], state)[:, 0]
    step = capture(cell, take_snapshot(cell), p_BG, state, ())
    return make_plan(step, step.needs_grad([True] * len(take_snapshot(cell).tensors)))


def emitted():
    """Return the emitted functions, without the functions of one number that precede them."""
    return emit(lstm_plan()).text.removeprefix(MATHS).lstrip("\n")


def test_the_emitted_c_of_an_lstm_is_the_one_that_is_kept():
    assert emitted() == GOLDEN.read_text(), (__doc__ or "").splitlines()[2]


def test_an_lstm_is_one_loop_after_one_product():
    plan = lstm_plan()
    (product,) = plan.products
    assert product.u == Buffer(BufferKind.STATE, 0), "the product reads h before the step"
    assert (product.k, product.n) == (HIDDEN, 4 * HIDDEN)
    before, (loop,) = plan.loops
    assert before == []
    assert loop.unit == HIDDEN
    assert [str(target.buffer) for target in loop.targets] == ["s0", "s1"]
    assert str(plan.output) == "s0", "the output is the hidden state"
    assert len(plan.merged) == 4, "p + q of each gate is kept in place of q"


@pytest.mark.parametrize(
    ("buffer", "name"),
    [(Buffer(BufferKind.INPUT), "p"), (Buffer(BufferKind.START, 0), "os0"),
     (Buffer(BufferKind.CONST, 12), "c12")],
)  # fmt: skip
def test_a_buffer_is_called_by_its_kind_and_number(buffer, name):
    assert str(buffer) == name


if __name__ == "__main__":
    print(emitted(), end="")
