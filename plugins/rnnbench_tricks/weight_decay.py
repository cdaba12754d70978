"""Weight decay by kind of parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from rnnbench.contract import Refusal, Task, Trick, WrappedOptimizer, decays, setting

KINDS = ("recurrent", "input", "bias", "embedding", "other")
UNDECAYED = "undecayed"
MARK = "kind_for_weight_decay"  # on a parameter, since an optimiser knows no names


class DecayingOptimizer(WrappedOptimizer):
    """An optimiser that shrinks parameters of each kind at a rate of its own."""

    def __init__(self, inner: torch.optim.Optimizer, rates: Mapping[str, float], decoupled: bool):
        super().__init__(inner)
        self.rates, self.decoupled = rates, decoupled

    @torch.no_grad()
    def shrink(self) -> None:
        """Shrink the parameters, or where the decay is not decoupled their gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                rate = self.rates.get(getattr(p, MARK), 0.0)
                if p.grad is None or not rate:
                    continue
                if self.decoupled:
                    p.mul_(1 - group["lr"] * rate)
                else:
                    p.grad.add_(p, alpha=rate)

    def step(self, closure: Any = None) -> Any:
        self.shrink()
        return self.inner.step(closure)


@dataclass(frozen=True)
class WeightDecay(Trick):
    """Weights shrink, those of each kind at a rate of its own.

    decoupled=true:  θ <- (1 - η λ) θ before the optimiser's step, η its learning rate at the time
    decoupled=false: g <- g + λ θ, the gradient of λ/2 ‖θ‖², after the gradient has been clipped

    Kinds, by the names that cells give: `recurrent` is what is called weight_h, `input` what is
    called weight_x, `bias` everything of fewer than two dimensions, `embedding` the tables of
    tokens (with tied weights the readout is one), `other` all other matrices, such as the
    readout's. `optimizer.weight_decay` acts on all of them besides. What an architecture marks as
    never decaying (the logarithms of decay rates of `mamba`, say) is of no kind, and stays.

    Null value: all rates 0.

    Source: Krogh & Hertz (1991), A simple weight decay can improve generalization, NIPS 4;
    decoupled: Loshchilov & Hutter (2019), arXiv:1711.05101, eq. 1.
    """

    null: ClassVar[Mapping[str, Any] | None] = {
        "recurrent": 0.0, "input": 0.0, "bias": 0.0, "embedding": 0.0, "other": 0.0,
    }  # fmt: skip
    tiny: ClassVar[Mapping[str, Any]] = {"recurrent": 0.1}

    recurrent: float = setting(1e-2, "λ of recurrent matrices", low=0.0, search=(1e-6, 1e-1, "log"))
    input: float = setting(0.0, "λ of input matrices", low=0.0)
    bias: float = setting(0.0, "λ of biases and other vectors", low=0.0)
    embedding: float = setting(0.0, "λ of embedding tables", low=0.0)
    other: float = setting(0.0, "λ of all other matrices", low=0.0)
    decoupled: bool = setting(True, "the decay does not pass through the optimiser's statistics")

    @property
    def rates(self) -> dict[str, float]:
        return {kind: getattr(self, kind) for kind in KINDS}

    def sites(self) -> tuple[str, ...]:
        return () if not any(self.rates.values()) else super().sites()

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        kinds = kinds_of(model)
        for p, kind in kinds.items():
            setattr(p, MARK, kind)
        idle = [kind for kind, rate in self.rates.items() if rate and kind not in kinds.values()]
        if idle:
            raise Refusal(
                f"weight-decay: {idle[0]} = {self.rates[idle[0]]} decays parameters of a kind that "
                f"this model has none of.\n  Set weight-decay:{idle[0]}=0; this model has: "
                f"{', '.join(k for k in KINDS if k in kinds.values())}."
            )
        return model

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if not all(hasattr(p, MARK) for p in parameters):
            raise Refusal(
                "weight-decay: a trick that is listed after it made parameters whose kind is "
                "unknown.\n  List weight-decay last."
            )
        return DecayingOptimizer(optimizer, self.rates, self.decoupled)


def kinds_of(model: nn.Module) -> dict[nn.Parameter, str]:
    """Return the kind of every parameter, `undecayed` where it is marked so."""
    tables = {
        p for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()
    }  # fmt: skip
    kinds = {}
    for path, p in model.named_parameters():
        names = path.split(".")
        if not decays(p):
            kind = UNDECAYED
        elif p in tables:
            kind = "embedding"
        elif p.dim() < 2:
            kind = "bias"
        elif "weight_h" in names:
            kind = "recurrent"
        elif "weight_x" in names:
            kind = "input"
        else:
            kind = "other"
        kinds[p] = kind
    return kinds
