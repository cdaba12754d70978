"""The simple recurrent network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Backbone, setting
from rnnbench.nn import FusedCell, Stack, claim, refuse_idle_dropout, refuse_together

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}
KERNELS = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}


class ElmanCell(FusedCell):
    """A cell h_t = f(W_x x_t + b_x + W_h h_{t-1} + b_h).

    Args:
        initialisation: of W_h: "uniform" as torch does, "identity" (and biases 0) or "orthogonal".
    """

    reads_hidden = False

    def __init__(
        self,
        d_in: int,
        hidden: int,
        activation: str = "tanh",
        initialisation: str = "uniform",
        projection: int | None = None,
    ):
        super().__init__(d_in, hidden, projection=projection)
        self.activation = activation
        self.kernel = KERNELS[activation] if projection is None else None
        if initialisation != "uniform":
            claim(self, "the recurrent matrix", "the setting initialisation of elman")
        with torch.no_grad():
            if initialisation == "identity":
                nn.init.eye_(self.weight_h)
                self.bias_x.zero_()
                self.bias_h.zero_()
            elif initialisation == "orthogonal":
                nn.init.orthogonal_(self.weight_h)

    def update(
        self, gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return (ACTIVATIONS[self.activation](gates_x + gates_h),)


@dataclass(frozen=True)
class Elman(Architecture):
    """Simple recurrent network.

    h_t = f(W_x x_t + b_x + W_h h_{t-1} + b_h),   f = tanh or relu

    With `activation=relu` and `initialisation=identity` it is the IRNN: W_h starts as the identity
    and the biases as 0; W_x starts as everywhere here, uniform in ±1/sqrt(H).

    Source: Elman (1990), Finding structure in time, doi:10.1207/s15516709cog1402_1; IRNN: Le,
    Jaitly & Hinton (2015), arXiv:1504.00941.
    """

    hidden: int = setting(256, "units of a layer", unit="units", low=1, search=(32, 512, "log"))
    layers: int = setting(1, "layers, one above the other", low=1, search=(1, 3))
    dropout: float = setting(0.0, "between layers", low=0.0, high=0.95, search=(0.0, 0.6))
    embedding: int | None = setting(None, "width of the input embedding; null: as hidden", low=1)
    activation: Literal["tanh", "relu"] = setting("tanh", "f, of every unit")
    initialisation: Literal["uniform", "identity", "orthogonal"] = setting(
        "uniform", "how the recurrent matrix starts"
    )
    projection: int | None = setting(
        None, "width of W_r h, which the recurrence and the layers above read; null: none", low=1
    )
    residual: bool = setting(False, "every layer but the first adds its input to its output")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_idle_dropout(self.name, self.layers, self.dropout, self.residual)
        if self.projection is not None and self.initialisation == "identity":
            refuse_together(
                self.name,
                f"projection = {self.projection}",
                "initialisation = identity",
                "with a projection the recurrent matrix is not square",
            )

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        width = self.hidden if self.projection is None else self.projection
        cells = (
            ElmanCell(d, self.hidden, self.activation, self.initialisation, self.projection)
            for d in [d_in] + [width] * (self.layers - 1)
        )
        return Stack(cells, self.dropout, self.residual)
