"""A readout of several softmaxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import Refusal, Task, Trick, setting


class MixtureReadout(nn.Linear):
    """A readout log p(y | h) of a mixture, whose components share its weight and bias.

    Args:
        readout: the plain one, whose parameters it takes over.
        experts: K.
    """

    def __init__(self, readout: nn.Linear, experts: int):
        super().__init__(readout.in_features, readout.out_features)
        self.weight, self.bias = readout.weight, readout.bias
        self.experts = experts
        self.prior = nn.Linear(self.in_features, experts, bias=False)
        self.latent = nn.Linear(self.in_features, experts * self.in_features)

    def forward(self, h: Tensor) -> Tensor:
        h_k = torch.tanh(self.latent(h)).unflatten(-1, (self.experts, self.in_features))
        nats = torch.log_softmax(super().forward(h_k), -1)
        shares = torch.log_softmax(self.prior(h), -1)[..., None]
        return torch.logsumexp(shares + nats, -2)


@dataclass(frozen=True)
class MixtureOfSoftmaxes(Trick):
    """The distribution over classes is a mixture of several softmaxes of one word table.

    p(y | h) = Σ_k π_k softmax(W h_k + b)_y,   h_k = tanh(V_k h + c_k),   π = softmax(U h)

    so that log p is no longer of the rank of h. W and b are the readout's, which may be shared with
    an embedding. The output is log p(y | h).

    Source: Yang, Dai, Salakhutdinov & Cohen (2018), arXiv:1711.03953, section 2.4.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"experts": 3}

    experts: int = setting(10, "K, how many softmaxes", low=2, search=(2, 15))

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        readout = getattr(model, "readout", None)
        if not task.target.classes or type(readout) is not nn.Linear:
            what = "predicts real values" if not task.target.classes else "has no linear readout"
            raise Refusal(
                f"{self.name} replaces the readout of classes by a mixture; here the model of "
                f"{task.name} {what}.\n  Drop {self.name}, or choose a task over tokens."
            )
        model.readout = MixtureReadout(readout, self.experts)
        return model
