"""Penalties on what a network puts out: large activations, and changes from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import Batch, Kind, Refusal, Result, Task, Trick, setting
from rnnbench.nn import valid


@dataclass(frozen=True)
class ActivationRegularisation(Trick):
    """Penalises large outputs of the network, and changes of them from one step to the next.

    activation (AR):           alpha · mean (m ⊙ h_t)²
    temporal activation (TAR): beta · mean (h_t - h_{t+1})²

    h_t is what the readout reads, with whatever dropout acts on it, which is the paper's m; where
    none does, m = 1. The mean is over units, rows and steps, padding left out, as in the authors'
    code; the paper writes the norm.

    Null value: alpha = 0 and beta = 0.

    Source: Merity, McCann & Socher (2017), arXiv:1708.01009; Merity, Keskar & Socher
    (2017), arXiv:1708.02182, section 4.6.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"alpha": 0.0, "beta": 0.0}

    alpha: float = setting(2.0, "weight of AR", low=0.0, search=(0.01, 10.0, "log"))
    beta: float = setting(1.0, "weight of TAR", low=0.0, search=(0.01, 10.0, "log"))

    def sites(self) -> tuple[str, ...]:
        return () if self.alpha == self.beta == 0 else super().sites()

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        by_source = task.kind is Kind.SEQ_TO_VEC

        def penalise(model: nn.Module, given: tuple[Any, ...], result: Result) -> Result:
            if not model.training:
                return result
            batch: Batch = given[0]
            h_BTH = result.hidden
            lengths = batch.x_len if by_source else batch.y_len
            if self.beta and h_BTH.is_meta and h_BTH.shape[1] < 2:
                raise Refusal(
                    f"{self.name}: beta = {self.beta} compares steps, and here a pass has one.\n"
                    f"  Set {self.name}:beta=0, or drop the estimator that reads step by step."
                )
            penalty = self.penalty(h_BTH, valid(lengths, h_BTH, h_BTH.shape[1]))
            whole = penalty if result.penalty is None else result.penalty + penalty
            return result._replace(penalty=whole)

        model.register_forward_hook(penalise)
        return model

    def penalty(self, h_BTH: Tensor, mask_BT: Tensor) -> Tensor:
        """Return AR and TAR over the steps of a mask."""
        total = torch.zeros((), dtype=h_BTH.dtype, device=h_BTH.device)
        if self.alpha:
            total = total + self.alpha * mean_square(h_BTH, mask_BT)
        if self.beta:
            pairs_BT = mask_BT[:, :-1] & mask_BT[:, 1:]
            total = total + self.beta * mean_square(h_BTH[:, :-1] - h_BTH[:, 1:], pairs_BT)
        return total


def mean_square(v_BTH: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the mean of squares over the steps of a mask; 0 where it is empty."""
    squares = torch.where(mask_BT[..., None], v_BTH.square(), 0.0).sum()
    return squares / (mask_BT.sum() * v_BTH.shape[-1]).clamp(min=1)
