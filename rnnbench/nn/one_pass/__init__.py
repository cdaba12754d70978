"""Functions of rows between recurrences, in one pass over memory on the CPU.

Gates, norms and short convolutions cost more there by their passes over memory than by their
arithmetic. Each has its formula in torch, which runs elsewhere, and gives second derivatives.
"""

from rnnbench.nn.one_pass.calls import run
from rnnbench.nn.one_pass.functions import (
    Bend,
    block_map,
    gated,
    gated_halves,
    rms_norm,
    scaled_sum,
    short_convolution,
)

__all__ = [
    "Bend",
    "block_map",
    "gated",
    "gated_halves",
    "rms_norm",
    "run",
    "scaled_sum",
    "short_convolution",
]
