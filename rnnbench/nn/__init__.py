"""Building blocks for plugin authors."""

from rnnbench.nn.attention import Attention, rotate, rotations, valid
from rnnbench.nn.cells import CellWrapper, FusedCell, GatedCell, Stack, refuse_idle_dropout
from rnnbench.nn.models import Decoder, Embed, Model
from rnnbench.nn.named import named_backbone, named_cell

__all__ = [
    "Attention", "CellWrapper", "Decoder", "Embed", "FusedCell", "GatedCell", "Model", "Stack",
    "named_backbone", "named_cell", "refuse_idle_dropout", "rotate", "rotations", "valid",
]  # fmt: skip
