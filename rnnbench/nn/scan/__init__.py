"""The fast scan: a cell's steps in three tiers that agree.

- `eager`: the loop over the cell's own steps. The oracle; runs every cell.
- `inductor`: one step and its derivative compiled by torch's inductor, on CPU and GPU.
- `c`: all steps in one function of emitted C, on the CPU, where a step is matrix products by
  constant matrices and elementwise operators between them.
"""

from rnnbench.nn.scan.c.linear import linear
from rnnbench.nn.scan.dispatch import Tier, describe, note, report, run, use
from rnnbench.nn.scan.verify_kernel import unroll

__all__ = ["Tier", "describe", "linear", "note", "report", "run", "unroll", "use"]
