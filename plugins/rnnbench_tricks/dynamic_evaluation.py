"""Dynamic evaluation: the model goes on learning from what it has just been judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import Batch, Kind, Refusal, Result, State, Task, Trick, setting
from rnnbench.nn import Model
from rnnbench.nn.models.base import Feed


class LearningModel(Model):
    """A model that judges a segment, then takes a step on it.

    Its weights, and so its figures, depend on all that was read before.
    """

    def __init__(self, inner: Model, scales: dict[str, Tensor], trick: DynamicEvaluation):
        super().__init__(inner.target)
        self.inner, self.trick = inner, trick
        self.trained = {k: p.detach().clone() for k, p in _learning(inner).items()}
        self.scales = {k: s.sqrt() for k, s in scales.items()}
        mean = torch.stack([s.mean() for s in self.scales.values()]).mean()
        self.decays = {k: (s / mean).clamp(max=1 / max(trick.decay, 1e-12))
                       for k, s in self.scales.items()}  # fmt: skip

    def forward(self, batch: Batch, state: State = None, feed: Feed | None = None) -> Result:
        outs, hiddens = [], []
        parameters = _learning(self.inner)
        for begin in range(0, batch.x.shape[1], self.trick.segment):
            part = slice(begin, begin + self.trick.segment)
            piece = Batch(batch.x[:, part], batch.y[:, part])
            with torch.enable_grad():
                result = self.inner(piece, state)
                loss = self.inner.loss(result.out, piece)
                gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
            outs.append(result.out.detach())
            hiddens.append(result.hidden.detach())
            state = self.inner.carry(result.state)
            with torch.no_grad():
                for (name, p), g in zip(parameters.items(), gradients, strict=True):
                    if g is None:  # a short segment may not reach it
                        continue
                    pull = self.trick.decay * (self.trained[name] - p) * self.decays[name]
                    p += pull - self.trick.rate * g / (self.scales[name] + self.trick.epsilon)
        return Result(torch.cat(outs, 1), torch.cat(hiddens, 1), state)

    def carry(self, state: State) -> State:
        return self.inner.carry(state)


def _learning(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that learn, by name; frozen ones stay as they are here, too."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


@dataclass(frozen=True)
class DynamicEvaluation(Trick):
    """A trained sequence model that is adapted to the recent past while it is evaluated.

    After each segment of `segment` steps has been judged, with g its gradient and MS the mean
    square of gradients over training batches:

    θ <- θ - η g / (√MS + ε) + λ (θ_g - θ) ⊙ min(√MS / m, 1/λ)

    θ_g are the trained weights. m is the mean over parameter tensors of each one's mean √MS, as in
    the authors' code. The defaults of η, λ, ε and `segment` are that code's, tuned for an AWD-LSTM
    on the Penn Treebank, judged as one stream, with gradients of batches of 100 rows and 5 steps;
    √MS, and with it what suits η and ε, shrinks where a training batch has more steps.

    The figures are reported apart, as "test with dynamic-evaluation"; each split begins from θ_g
    anew. All rows of an evaluation batch share one set of weights, so the figures depend on
    `eval_batch` of the task.

    Null value: rate = 0.

    Source: Krause et al. (2018), arXiv:1709.07432, section 3, eqs. 5-8.
    """

    version: ClassVar[int] = 2
    null: ClassVar[Mapping[str, Any] | None] = {"rate": 0.0}
    tiny: ClassVar[Mapping[str, Any]] = {"segment": 2, "batches": 2}

    rate: float = setting(5e-5, "η", low=0.0, search=(1e-6, 1e-2, "log"))
    decay: float = setting(2e-3, "λ, pull back to the trained weights", low=0.0, high=1.0)
    epsilon: float = setting(2e-5, "ε, keeps rarely used weights still", low=1e-12)
    segment: int = setting(5, "steps between two updates", unit="steps", low=1)
    batches: int = setting(100, "training batches of the mean square", unit="batches", low=1)

    def sites(self) -> tuple[str, ...]:
        return () if self.rate == 0 else super().sites()

    def evaluation(self, model: nn.Module, task: Task) -> nn.Module:
        if task.kind is not Kind.ALIGNED or not task.causal:
            raise Refusal(
                f"{self.name} learns from what it has just said, step by step; {task.name} is "
                f"{task.kind.value}.\n  Drop it, or choose an aligned causal task."
            )
        assert isinstance(model, Model)
        return LearningModel(model, self.mean_squares(model, task), self).eval()

    def mean_squares(self, model: Model, task: Task) -> dict[str, Tensor]:
        """Return the mean over training batches of each weight's squared gradient."""
        parameters = _learning(model)
        if not parameters:
            raise Refusal(
                f"{self.name} goes on learning, and no parameter of the model learns.\n"
                f"  Drop {self.name}, or what freezes them all."
            )
        total = {name: torch.zeros_like(p) for name, p in parameters.items()}
        if next(iter(parameters.values())).is_meta:
            return {name: torch.ones_like(p) for name, p in parameters.items()}
        data, state = task.data("train", 0), None
        keys = list(data.order(task.eval_batch, None))[: self.batches]
        device, dtype = next((p.device, p.dtype) for p in parameters.values())
        for key in keys:
            batch = data.batch(key, None).to(device)
            if batch.x.is_floating_point():
                batch = batch._replace(x=batch.x.to(dtype))
            with torch.enable_grad():
                result = model(batch, state)
                loss = model.loss(result.out, batch)
                gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
            state = model.carry(result.state) if data.carried else None
            for mean, g in zip(total.values(), gradients, strict=True):
                if g is not None:
                    mean += g.square() / len(keys)
        return total
