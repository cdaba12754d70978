"""Building blocks for plugin authors."""

from typing import Any

from rnnbench.moved import renamed
from rnnbench.nn.attention import Additive, Attention, Dot, General, rotate, rotations, valid
from rnnbench.nn.averaged_weights import AveragingOptimizer, refuse_second_average
from rnnbench.nn.cells.by_name import named_backbone, named_cell
from rnnbench.nn.cells.fast import FastCell
from rnnbench.nn.cells.gate_names import claim
from rnnbench.nn.cells.gated import FusedCell, GatedCell
from rnnbench.nn.cells.stack import Stack
from rnnbench.nn.cells.wrapper import CellWrapper
from rnnbench.nn.layouts.grids import GridLayer, corners, grid_pool
from rnnbench.nn.layouts.ragged import reversed_rows, run_rows
from rnnbench.nn.layouts.trees import (
    Children,
    TreeLayer,
    refuse_arity,
    side_by_side,
    summed,
    with_leaves,
)
from rnnbench.nn.linear.cells import (
    ComplexCell,
    GatedLinearCell,
    LinearCell,
    complexed,
    mapped,
    refuse_seen,
)
from rnnbench.nn.linear.complex_halves import complex_scan
from rnnbench.nn.linear.oscillators import oscillate
from rnnbench.nn.linear.scan import linear_scan
from rnnbench.nn.linear.selective import selective_scan
from rnnbench.nn.models.base import Decoder, Embed, Model
from rnnbench.nn.refusals import refuse_idle_dropout, refuse_together
from rnnbench.nn.residual_blocks import (
    EachStep,
    GatedMLP,
    GLUMixer,
    HeadNorm,
    Residual,
    RowNorm,
    ShortConvolution,
    in_chunks,
    refuse_uneven_heads,
    rms_norm,
    tower,
    unflat,
)
from rnnbench.nn.whole_input import WholeInputBackbone, ends, refuse_looking_ahead

__all__ = [
    "Additive",
    "Attention",
    "AveragingOptimizer",
    "CellWrapper",
    "Children",
    "ComplexCell",
    "Decoder",
    "Dot",
    "EachStep",
    "Embed",
    "FastCell",
    "FusedCell",
    "GLUMixer",
    "GatedCell",
    "GatedLinearCell",
    "GatedMLP",
    "General",
    "GridLayer",
    "HeadNorm",
    "LinearCell",
    "Model",
    "Residual",
    "RowNorm",
    "ShortConvolution",
    "Stack",
    "TreeLayer",
    "WholeInputBackbone",
    "claim",
    "complex_scan",
    "complexed",
    "corners",
    "ends",
    "grid_pool",
    "in_chunks",
    "linear_scan",
    "mapped",
    "selective_scan",
    "named_backbone",
    "named_cell",
    "oscillate",
    "refuse_arity",
    "refuse_idle_dropout",
    "refuse_looking_ahead",
    "refuse_second_average",
    "refuse_seen",
    "refuse_together",
    "refuse_uneven_heads",
    "reversed_rows",
    "rms_norm",
    "rotate",
    "rotations",
    "run_rows",
    "side_by_side",
    "summed",
    "tower",
    "unflat",
    "valid",
    "with_leaves",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    return renamed(__name__, name)
