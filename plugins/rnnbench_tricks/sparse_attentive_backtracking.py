"""Sparse attentive backtracking: credit that reaches the past through memories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from rnnbench.contract import Cell, Estimator, EstimatorInput, Refusal, State, Task, Trick, setting
from rnnbench.nn import Stack
from rnnbench.nn.cells.gate_names import innermost_cells
from rnnbench_tricks._shortcuts import ShortcutCell
from rnnbench_tricks._sparse_attentive_cell import RemindedCell, truncating

WIRING = {"embed", "condition", "backbone", "readout"}  # parts of a model without attention


@dataclass(frozen=True)
class SparseAttentiveBacktracking(Trick):
    """Each step is reminded of a few past states, and gradients reach the past through these.

    ĥ_t is what the cell makes of x_t and h_{t-1}; m_i are the states after every k_att-th step:

    a_i = w_3ᵀ tanh(W_1 m_i + W_2 ĥ_t),   ã_i = ReLU(a_i - a_(k_top + 1)),   s_t = Σ ã_i m_i / Σ ã_i
    h_t = ĥ_t + s_t,   y_t = V_1 h_t + V_2 s_t + b

    a_(k) is the k-th highest. The gradient of the recurrence stops after every k_trunc steps,
    counted from where the state begins. Beyond that it flows through the memories with a weight,
    whose own stretch of up to k_trunc steps it passes (and through scores: also that of rank
    k_top + 1). Forward it is the same at evaluation. While there are up to k_top memories a_i
    itself is the weight, as in the authors' code; before the first of them s_t = 0. With k_top = 1
    the weight is 1 from the second memory on, whatever the score, which then learns nothing.

    When the memory is full the oldest is forgotten. In a stream memories go on from batch to batch,
    as values, since the graph ends with its batch. Each layer has a memory of its own, and the
    readout reads that of the last. Cells run step by step, which is slower than their fused form.

    Null value: none.

    Source: Ke, Goyal, Bilaniuk, Binas, Mozer, Pal & Bengio (2018), arXiv:1809.03702, sections 3.1
    and 3.2, algorithm 1. The authors' code cuts a step earlier: before steps k_trunc, 2 k_trunc ...
    """

    tiny: ClassVar[Mapping[str, Any]] = {"k_trunc": 2, "k_att": 1, "k_top": 2, "memories": 3}

    k_trunc: int = setting(
        10, "steps after which the recurrence's gradient stops", unit="steps", low=1,
        search=(1, 20, "log"),
    )  # fmt: skip
    k_att: int = setting(2, "steps from one memory to the next", unit="steps", low=1, search=(1, 5))
    k_top: int = setting(10, "memories that a step is reminded of", low=1, search=(2, 20, "log"))
    memories: int = setting(200, "memories that are held; then the oldest is forgotten", low=1)
    readout: Literal["both", "state"] = setting(
        "both", "the readout reads h_t and s_t, or h_t alone, which any model can do"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.memories <= self.k_top:
            raise Refusal(
                f"{self.name}: memories = {self.memories} and k_top = {self.k_top}: none would "
                f"ever be left out.\n  Set memories to {self.k_top + 1} or more "
                f"(tricks.{self.name}.memories={self.k_top + 1}), or lower k_top."
            )

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        innermost_cells(model, self.name)
        last = self.last_layer(model) if self.readout == "both" else None
        self.wrap_below(model, last)
        if last is not None:
            backbone: Any = model.backbone
            readout: Any = model.readout
            model.readout = nn.Linear(2 * readout.in_features, readout.out_features)
            backbone.width = 2 * last.width
        return model

    def wrap_below(self, module: nn.Module, last: Cell | None) -> None:
        for name, child in list(module.named_children()):
            if isinstance(child, Cell) and not isinstance(child, ShortcutCell):
                reminded = RemindedCell(
                    child, self.k_trunc, self.k_att, self.k_top, self.memories, child is last
                )
                setattr(module, name, reminded)
            else:
                self.wrap_below(child, last)

    def last_layer(self, model: nn.Module) -> Cell:
        """Return the cell whose output is what a plain linear readout reads.

        Raises:
            Refusal: there is something between them, or something else reads the states too.
        """
        readout, last = getattr(model, "readout", None), getattr(model, "backbone", None)
        if type(last) is Stack and not last.residual:
            last = last.layers[-1]
        others = sorted({n for n, _ in model.named_children()} - WIRING)
        weight = getattr(readout, "weight", None)
        uses = [n for n, p in model.named_parameters(remove_duplicate=False) if p is weight]
        why = ""
        if others:
            why = f"{' and '.join(others)} beside it would read too, made for h_t alone"
        elif not isinstance(last, Cell) or isinstance(last, ShortcutCell):
            why = "what it reads is not the output of one recurrent layer"
        elif type(readout) is not nn.Linear or len(uses) > 1:
            why = "it shares its weights, or has taken another form"
        if why:
            raise Refusal(
                f"{self.name} lets a linear readout read [h_t, s_t]; here {why}.\n"
                f"  Set {self.name}:readout=state, or list {self.name} before other tricks."
            )
        assert isinstance(last, Cell)
        return last

    def estimator(self, inner: Estimator) -> Estimator:
        return partial(learn, self, inner)


def learn(trick: SparseAttentiveBacktracking, inner: Estimator, learning: EstimatorInput) -> State:
    """Back-propagation that stops every k_trunc steps.

    Raises:
        Refusal: in the dry run, where a layer has no memory to be reminded of.
    """
    with truncating(learning.model) as cells:
        final = inner(learning)
    fewest = min(cell.made for cell in cells)
    if learning.batch.x.is_meta and not learning.carried and fewest <= trick.k_att:
        raise Refusal(
            f"{trick.name}: k_att = {trick.k_att}, and a layer makes {fewest} steps, none of which "
            f"could be reminded of anything.\n  Lower {trick.name}:k_att, or choose a task of "
            "longer sequences."
        )
    for cell in cells:  # later a batch may be as short as that
        for p in (cell.map_memory.weight, cell.map_hidden.weight, cell.score.weight):
            p.grad = torch.zeros_like(p) if p.grad is None and p.requires_grad else p.grad
    return final
