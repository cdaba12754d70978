"""Pointer sentinel mixture: a language model that can point at recent words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import (
    Architecture,
    Backbone,
    Batch,
    Kind,
    Refusal,
    Result,
    State,
    Task,
    detach,
    setting,
)
from rnnbench.nn import Embed, Model, Stack, named_backbone, refuse_idle_dropout
from rnnbench.nn.models.base import IGNORED, Feed


class SentinelModel(Model):
    """The state is (layers' states, the last `window` hidden states, their words, whether there).

    W counts the window's positions, the present word among them.
    """

    def __init__(self, architecture: PointerSentinel, task: Task):
        super().__init__(task.target)
        owner, hidden = architecture.name, architecture.hidden
        shared = task.source.vocabulary and task.source.vocabulary == task.target.vocabulary
        if task.kind is not Kind.ALIGNED or not task.causal or not shared:
            raise Refusal(
                f"{owner} points at words read before, to say which comes next; {task.name} is no "
                "language model.\n  Choose one, such as char-lm."
            )
        width = architecture.input_width
        self.window, self.pointer_loss = architecture.window, architecture.pointer_loss
        self.embed = Embed(task.source, width)
        widths = [width] + [hidden] * (architecture.layers - 1)
        self.backbone = Stack(
            (named_backbone(architecture.cell, d, hidden, owner) for d in widths),
            architecture.dropout,
        )
        self.query = nn.Linear(hidden, hidden)
        self.sentinel = nn.Parameter(torch.randn(hidden) / hidden**0.5)
        self.readout = self.readout_for(hidden)

    def forward(self, batch: Batch, state: State = None, feed: Feed | None = None) -> Result:
        x_BT, steps = batch.x, batch.x.shape[1]
        inner, past = (None, None) if state is None else state
        h_BTH, inner = self.backbone(self.embed(x_BT), inner)
        if past is None:
            past_BWH = h_BTH.new_zeros(len(x_BT), self.window - 1, h_BTH.shape[-1])
            past = past_BWH, x_BT.new_zeros(past_BWH.shape[:2]), past_BWH[:, :, 0] > 0
        h_BUH, word_BU, there_BU = (
            torch.cat([old, new], 1)
            for old, new in zip(past, (h_BTH, x_BT, torch.ones_like(x_BT) > 0), strict=True)
        )
        # Row t of the window's index holds the positions t, t + 1, … t + window - 1 of the joined
        # sequence: the present word last.
        at_TW = torch.arange(steps, device=x_BT.device)[:, None] + torch.arange(
            self.window, device=x_BT.device
        )
        q_BTH = torch.tanh(self.query(h_BTH))
        z_BTW = (q_BTH @ h_BUH.transpose(1, 2)).gather(2, at_TW.expand(len(x_BT), -1, -1))
        z_BTW = z_BTW.masked_fill(~there_BU[:, at_TW], -torch.inf)
        a_BTW1 = torch.cat([z_BTW, (q_BTH @ self.sentinel)[..., None]], -1).softmax(-1)
        a_BTW, gate_BT1 = a_BTW1[..., :-1], a_BTW1[..., -1:]
        p_BTV = (gate_BT1 * self.readout(h_BTH).softmax(-1)).scatter_add(
            2, word_BU[:, at_TW], a_BTW
        )
        out_BTV = p_BTV.clamp(min=torch.finfo(p_BTV.dtype).tiny).log()
        kept = tuple(v[:, v.shape[1] - self.window + 1 :] for v in (h_BUH, word_BU, there_BU))
        penalty = None
        if self.training and self.pointer_loss:
            penalty = self.pointer_loss * self._pointed(batch, word_BU[:, at_TW], a_BTW, gate_BT1)
        return Result(out_BTV, h_BTH, (inner, kept), penalty)

    def _pointed(self, batch: Batch, word_BTW: Tensor, a_BTW: Tensor, gate_BT1: Tensor) -> Tensor:
        """Return -log(g + Σ_{i: x_i = y} a_i), the mean over the targets."""
        y_BT = self.gold(batch)
        p_BT = gate_BT1[..., 0] + (a_BTW * (word_BTW == y_BT[..., None])).sum(-1)
        counted_BT = y_BT != IGNORED
        nats_BT = -p_BT.clamp(min=torch.finfo(p_BT.dtype).tiny).log()
        return (nats_BT * counted_BT).sum() / counted_BT.sum()

    def carry(self, state: State) -> State:
        inner, past = state
        assert isinstance(self.backbone, Backbone)
        return self.backbone.carry(inner), detach(past)


@dataclass(frozen=True)
class PointerSentinel(Architecture):
    """A recurrent language model, mixed with a pointer to the last `window` words.

    q = tanh(W h_t + b),  z_i = qᵀ h_i,  a = softmax([z; qᵀ s]) with a learnt sentinel s,
    g = the last element of a,
    p(w) = g softmax(U h_t + c)_w + Σ_{i: x_i = w} a_i

    i runs over the last `window` words, the present one among them. The gate needs no parameters
    of its own: it is the softmax mass on the sentinel. Besides -log p, training minimises
    `pointer_loss` times -log(g + Σ_{i: x_i = y} a_i), which asks that mass goes to the sentinel
    or to the right words; it is no part of the reported loss.

    Source: Merity, Xiong, Bradbury & Socher (2016), arXiv:1609.07843, section 2.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 6, "window": 4}

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    cell: str = setting("lstm", "cell, by the name of its architecture", plugin="architectures")
    window: int = setting(100, "words that it can point at", unit="steps", low=1)
    pointer_loss: float = setting(1.0, "weight of the pointer's own loss", low=0.0)
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout)

    def model(self, task: Task) -> nn.Module:
        return SentinelModel(self, task)
