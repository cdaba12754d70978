"""PatchTST: a transformer over patches of each series by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Architecture, Refusal, Task, setting
from rnnbench.nn.direct_forecast import AtOnce

TINY = 1e-5  # added to the variance of a window, as instance normalisation does


class BatchNorm(nn.Module):
    """A batch normalisation of (R, N, H) over rows and patches."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x_RNH: Tensor) -> Tensor:
        return self.norm(x_RNH.transpose(1, 2)).transpose(1, 2)


class Layer(nn.Module):
    """A layer of self-attention over all patches and a feed-forward network, each normalised."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.first, self.second = BatchNorm(width), BatchNorm(width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x_RNH: Tensor) -> Tensor:
        q, k, v = self.qkv(x_RNH).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x_RNH = self.first(x_RNH + self.drop(self.out(y)))
        return self.second(x_RNH + self.drop(self.down(self.drop(F.gelu(self.up(x_RNH))))))

    def drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class PatchTSTModel(AtOnce):
    """The model of `PatchTST`.

    R counts rows times series, N patches, P the steps of a patch.
    """

    def __init__(self, architecture: PatchTST, task: Task):
        a = architecture
        super().__init__(a.name, task)
        if a.patch > self.context:
            raise Refusal(
                f"{a.name}: a patch of {a.patch} steps is longer than the window of "
                f"{self.context}.\n  Set architecture.patch lower."
            )
        if task.target.distribution is not None:
            raise Refusal(
                f"{a.name} normalises each window, and what it forecasts is scaled back as values "
                "are, not as parameters of a distribution.\n  Choose point forecasts, or segrnn."
            )
        self.patch, self.stride, self.dropout = a.patch, a.stride, a.dropout
        patches = (self.context - a.patch) // a.stride + 2
        self.enter = nn.Linear(a.patch, a.hidden)
        self.place = nn.Parameter(torch.empty(patches, a.hidden).uniform_(-0.02, 0.02))
        self.layers = nn.ModuleList(
            Layer(a.hidden, a.heads, a.inner, a.dropout) for _ in range(a.layers)
        )
        self.leave = nn.Linear(patches * a.hidden, self.horizon)

    def ahead(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        x_BVT = x_BTD[..., self.past].transpose(1, 2)
        mean = x_BVT.mean(-1, keepdim=True)
        scale = (x_BVT.var(-1, keepdim=True, unbiased=False) + TINY).sqrt()
        x_RT = ((x_BVT - mean) / scale).flatten(0, 1)
        padded = F.pad(x_RT[:, None], (0, self.stride), mode="replicate")[:, 0]
        h_RNH = self.enter(padded.unfold(-1, self.patch, self.stride)) + self.place
        h_RNH = F.dropout(h_RNH, self.dropout, self.training)
        for layer in self.layers:
            h_RNH = layer(h_RNH)
        h_RJ = h_RNH.flatten(1)
        out_BVS = self.leave(h_RJ).unflatten(0, x_BVT.shape[:2]) * scale + mean
        return out_BVS.transpose(1, 2), h_RJ.unflatten(0, (len(x_BTD), -1)).flatten(1)


@dataclass(frozen=True)
class PatchTST(Architecture):
    """Patch time-series transformer, for each series by itself.

    x' = (x - mean) / deviation of the window        undone at the end
    x_p = patches of P steps, S apart; the last value is repeated S times at the end
    z = W_p x_p + W_pos;  layers of attention and GELU network, batch-normalised after each
    ŷ = W flatten(z) + b

    All series share the weights. It reads the past of what is forecast, and no other column.
    Defaults are the paper's for small sets such as ETTh1; for large ones it has hidden = 128,
    heads = 16 and inner = 256. The scores of a layer's attention are not added to the next one's,
    which the authors' code does.

    Source: Nie et al. (2023), A time series is worth 64 words, arXiv:2211.14730, section 3.
    """

    name: ClassVar[str] = "patchtst"
    tiny: ClassVar[Mapping[str, Any]] = {
        "hidden": 4, "heads": 2, "inner": 8, "layers": 1, "patch": 2, "stride": 1,
    }  # fmt: skip

    hidden: int = setting(16, "width of a patch's vector", unit="units", low=1,
                          search=(16, 128, "log"))  # fmt: skip
    heads: int = setting(4, "of the attention", low=1)
    inner: int = setting(128, "width of a layer's network", unit="units", low=1)
    layers: int = setting(3, "attention and network", low=1, search=(1, 4))
    patch: int = setting(16, "steps of a patch", unit="steps", low=1)
    stride: int = setting(8, "steps between patches", unit="steps", low=1)
    dropout: float = setting(0.0, "of vectors and of each layer's parts", low=0.0, high=0.95)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden % self.heads:
            raise Refusal(
                f"patchtst: {self.heads} heads do not divide hidden = {self.hidden}.\n"
                f"  Choose hidden as a multiple of {self.heads}, or other heads."
            )

    def model(self, task: Task) -> nn.Module:
        return PatchTSTModel(self, task)
