"""A cell by the name of the architecture that has it, so that wirings take any cell."""

from __future__ import annotations

import dataclasses

from rnnbench.contract import Backbone, Cell, Refusal
from rnnbench.nn.cells.stack import Stack
from rnnbench.registry.registry import load
from rnnbench.spec.plugin_text import named

# What the architecture that names a cell decides itself.
DECIDED = ("hidden", "layers", "dropout", "embedding")


def named_backbone(text: str, d_in: int, hidden: int, owner: str) -> Backbone:
    """Build one causal layer of the architecture that a setting names.

    Args:
        text: "gru" or "lstm:peepholes=true".
        d_in: D, width of the vectors that it reads.
        hidden: H, its hidden width.
        owner: the architecture that asks, for messages.

    Raises:
        Refusal: the named architecture has no hidden width to set, or the text sets what the
            owner decides, or it refuses to be causal.
        SpecError, PluginError: there is no such architecture or setting.
    """
    spec, settings_given = named("architectures", text)
    cls = load("architectures", spec.name)
    fields = {f.name for f in dataclasses.fields(cls)}
    decided = [k for k in DECIDED if k in settings_given]
    if decided:
        raise Refusal(
            f"{owner}: cell={text} sets {decided[0]}, which {owner} decides.\n"
            f"  Set architecture.{decided[0]} instead."
        )
    if "hidden" not in fields:
        raise Refusal(
            f"{owner}: {spec.name} has no field `hidden`, so it cannot serve as a cell.\n"
            "  Choose another: rnnbench list architectures --site cell"
        )
    settings = {k: v for k, v in spec.settings if k in settings_given}
    backbone = cls(**settings, hidden=hidden).build(d_in, causal=True)
    if isinstance(backbone, Stack) and len(backbone.layers) == 1:
        layer = backbone.layers[0]
        assert isinstance(layer, Backbone)
        return layer
    return backbone


def named_cell(text: str, d_in: int, hidden: int, owner: str) -> Cell:
    """Build one cell of the architecture that a setting names; see `named_backbone`.

    Raises:
        Refusal: also where the named architecture is not one cell (a transformer, a hierarchy).
    """
    backbone = named_backbone(text, d_in, hidden, owner)
    if not isinstance(backbone, Cell):
        raise Refusal(
            f"{owner}: cell={text} is no recurrent cell, which {owner} steps.\n"
            "  Choose another: rnnbench list architectures --site cell"
        )
    return backbone
