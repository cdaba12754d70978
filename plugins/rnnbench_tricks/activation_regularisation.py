"""Penalties on what a network puts out: large activations, and changes from step to step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract import Batch, Kind, Refusal, Result, State, Task, Trick, setting
from rnnbench.nn import valid


@dataclass(frozen=True)
class ActivationRegularisation(Trick):
    """Penalises large outputs of the network, and changes of them from one step to the next.

    activation (AR):           alpha · mean (m ⊙ h_t)²
    temporal activation (TAR): beta · mean (h_t - h_{t+1})²

    h_t is the network's output. m is the dropout that acts on it before the readout
    (variational-dropout:output), where there is one; TAR is of the output before it, as in the
    authors' code. The mean is over units, rows and steps, padding left out, as in that code; the
    paper writes the norm.

    Null value: alpha = 0 and beta = 0.

    Source: Merity, McCann & Socher (2017), arXiv:1708.01009; Merity, Keskar & Socher
    (2017), arXiv:1708.02182, section 4.6.
    """

    version: ClassVar[int] = 2
    null: ClassVar[Mapping[str, Any] | None] = {"alpha": 0.0, "beta": 0.0}

    alpha: float = setting(2.0, "weight of AR", low=0.0, search=(0.01, 10.0, "log"))
    beta: float = setting(1.0, "weight of TAR", low=0.0, search=(0.01, 10.0, "log"))

    def sites(self) -> tuple[str, ...]:
        return () if self.alpha == self.beta == 0 else super().sites()

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        by_source = task.kind is Kind.SEQ_TO_VEC
        outputs: list[Tensor] = []  # of the pass at hand, before any dropout on them
        backbone = getattr(model, "backbone", None)

        def note(backbone: nn.Module, given: tuple[Any, ...], output: tuple[Tensor, State]) -> None:
            outputs[:] = [output[0]] if backbone.training else []

        def penalise(model: nn.Module, given: tuple[Any, ...], result: Result) -> Result:
            raw_BTH = outputs.pop() if outputs else result.hidden
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
            penalty = self.penalty(h_BTH, raw_BTH, valid(lengths, h_BTH, h_BTH.shape[1]))
            whole = penalty if result.penalty is None else result.penalty + penalty
            return result._replace(penalty=whole)

        if backbone is not None and task.kind in (Kind.ALIGNED, Kind.SEQ_TO_VEC):
            # The first of all hooks, so it stands before one that drops.
            backbone.register_forward_hook(note, prepend=True)
        model.register_forward_hook(penalise)
        return model

    def penalty(self, h_BTH: Tensor, raw_BTH: Tensor, mask_BT: Tensor) -> Tensor:
        """Return AR of what the readout reads and TAR of the raw output, over a mask's steps."""
        total = torch.zeros((), dtype=h_BTH.dtype, device=h_BTH.device)
        if self.alpha:
            total = total + self.alpha * mean_square(h_BTH, mask_BT)
        if self.beta:
            pairs_BT = mask_BT[:, :-1] & mask_BT[:, 1:]
            total = total + self.beta * mean_square(raw_BTH[:, :-1] - raw_BTH[:, 1:], pairs_BT)
        return total


def mean_square(v_BTH: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the mean of squares over the steps of a mask; 0 where it is empty."""
    squares = torch.where(mask_BT[..., None], v_BTH.square(), 0.0).sum()
    return squares / (mask_BT.sum() * v_BTH.shape[-1]).clamp(min=1)
