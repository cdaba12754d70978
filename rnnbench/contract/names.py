"""Names that the contract and the registry share. No torch here.

The registry reads plugins from their source without importing them, and needs these names for it.
"""

from __future__ import annotations

import enum

# The methods of `Trick` through which it acts, in the order in which docs list them.
SITES = (
    "cell", "model", "batch", "feed", "loss", "gradient", "estimator", "optimizer", "evaluation",
)  # fmt: skip


class Kind(enum.Enum):
    """The four conditional distributions that a task can ask for."""

    SEQ_TO_VEC = "sequence-to-vector"
    VEC_TO_SEQ = "vector-to-sequence"
    ALIGNED = "aligned"
    UNALIGNED = "unaligned"
