"""Neural cache: at evaluation, words that followed similar states lately become more probable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from rnnbench.contract import Batch, Kind, Refusal, Result, State, Task, Trick, detach, setting
from rnnbench.nn import Model
from rnnbench.nn.models.base import Feed


class CachedModel(Model):
    """The state is (the model's, the last hidden states, the words after them, whether there)."""

    def __init__(self, inner: Model, window: int, weight: float, sharpness: float):
        super().__init__(inner.target)
        self.inner = inner
        self.window, self.weight, self.sharpness = window, weight, sharpness

    def forward(self, batch: Batch, state: State = None, feed: Feed | None = None) -> Result:
        before, past = (None, None) if state is None else state
        result = self.inner(batch, before, feed)
        h_BTH, y_BT = result.hidden, batch.y
        if past is None:
            empty_BWH = h_BTH.new_zeros(len(h_BTH), self.window, h_BTH.shape[-1])
            past = empty_BWH, y_BT.new_zeros(empty_BWH.shape[:2]), empty_BWH[:, :, 0] > 0
        fresh = h_BTH, y_BT, torch.ones_like(y_BT) > 0
        h_BUH, y_BU, there_BU = (torch.cat(pair, 1) for pair in zip(past, fresh, strict=True))
        outs = []
        for t in range(h_BTH.shape[1]):  # step by step: the window of a step is its own
            cached = slice(t, t + self.window)
            e_BW = self.sharpness * (h_BUH[:, cached] @ h_BTH[:, t, :, None])[..., 0]
            a_BW = e_BW.masked_fill(~there_BU[:, cached], torch.finfo(e_BW.dtype).min).softmax(-1)
            a_BW = a_BW * there_BU[:, cached].any(1, keepdim=True)
            words_BV = result.out[:, t].softmax(-1)
            weight_B1 = self.weight * there_BU[:, cached].any(1, keepdim=True)
            p_BV = ((1 - weight_B1) * words_BV).scatter_add(1, y_BU[:, cached], weight_B1 * a_BW)
            outs.append(p_BV.clamp(min=torch.finfo(p_BV.dtype).tiny).log())
        kept = tuple(v[:, v.shape[1] - self.window :] for v in (h_BUH, y_BU, there_BU))
        return Result(torch.stack(outs, 1), h_BTH, (result.state, kept))

    def carry(self, state: State) -> State:
        before, past = state
        return self.inner.carry(before), detach(past)


@dataclass(frozen=True)
class NeuralCache(Trick):
    """A trained language model, mixed at evaluation with a cache of its recent past.

    p_cache(w) ∝ Σ_{i: x_{i+1} = w} exp(θ h_tᵀ h_i),   p(w) = (1 - λ) p_model(w) + λ p_cache(w)

    over the last `window` steps i < t. Nothing is trained. The figures are reported apart, as
    "test with neural-cache"; plain ones stay what they are. Training and the search do not see
    it, so θ and λ are chosen on the validation figures of the same name.

    Null value: weight = 0.

    Source: Grave, Joulin & Usunier (2017), arXiv:1612.04426, eqs. 2-3 and section 3.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"weight": 0.0}

    window: int = setting(500, "steps that are remembered", unit="steps", low=1)
    weight: float = setting(0.1, "λ, the cache's share", low=0.0, high=1.0, search=(0.01, 0.5))
    sharpness: float = setting(0.3, "θ, how alike states must be", low=0.0, search=(0.0, 1.0))

    def sites(self) -> tuple[str, ...]:
        return () if self.weight == 0 else super().sites()

    def evaluation(self, model: nn.Module, task: Task) -> nn.Module:
        shared = task.source.vocabulary and task.source.vocabulary == task.target.vocabulary
        if task.kind is not Kind.ALIGNED or not task.causal or not shared:
            raise Refusal(
                f"{self.name} remembers which words followed, and {task.name} is no language "
                "model.\n  Drop it, or choose a language model, such as char-lm."
            )
        assert isinstance(model, Model)
        return CachedModel(model, self.window, self.weight, self.sharpness).eval()
