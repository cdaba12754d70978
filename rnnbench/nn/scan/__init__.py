"""The fast scan: all steps of a cell, run by the fastest of three tiers that agree.

- `eager`: the loop over the cell's own steps. The oracle; runs every cell.
- `inductor`: one step and its derivative compiled by torch's inductor, on CPU and GPU.
- `c`: all steps in one function of emitted C, on the CPU, where a step is matrix products by
  constant matrices and elementwise operators between them.

A map of this room, in the order in which a scan passes through it:

    choice.py           which tier is chosen, and the report of what ran; all files may import it
    dispatch.py         `run`: find a kernel for this cell and these shapes, or build and check one
    cell_snapshot.py      the cell's settings (part of the kernel's key) and its tensors
    trace_step.py         one step as a graph; what time does not change goes into a prologue
    c/, inductor.py       the graph as a kernel, see below
    verify_kernel.py      the kernel against the loop: outputs, states, every gradient
    autograd.py         the kernel's forward and backward as one function of autograd
    eager.py            `unroll`: the loop, where no tier takes the cell
    unsupported.py      the reasons why a tier does not take a step

From a graph to C (`c/`): graph -> expressions -> loops -> C -> library.

    expressions_from_graph.py   what one element of each tensor is, as an expression
    expressions.py              operators, with their C and their derivatives
    loops.py                    the step cut at its products: element loops and products, in turn
    buffers.py                  the arrays and sizes that the C is given, by kind
    syntax.py                   rows, loops and expressions as lines of C
    emit_forward.py             the function `forward`, and all of the text
    emit_backward.py            the function `backward`
    math_functions.py           exp, tanh, ... in C that compilers vectorise
    matmul_source.py            matrix products in C; linear.py calls them for all steps at once
    compiler.py                 C -> library, in the user's cache folder
    kernel.py                   `CKernel`: the buffers of a call, and the call

What is emitted for a small LSTM stands in `tests/nn/emitted_lstm.c`.
"""

from rnnbench.nn.scan.c.linear import linear
from rnnbench.nn.scan.choice import Tier, describe, note, report, takes_plain_cells, use
from rnnbench.nn.scan.dispatch import run, run_linear
from rnnbench.nn.scan.eager import unroll

__all__ = [
    "Tier",
    "describe",
    "linear",
    "note",
    "report",
    "run",
    "run_linear",
    "takes_plain_cells",
    "unroll",
    "use",
]
