"""Noise on the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from rnnbench.contract import Batch, Moment, Refusal, Task, Trick, setting
from rnnbench.nn import valid


@dataclass(frozen=True)
class InputNoise(Trick):
    """Disturbs what a model reads in training.

    on=values: x̃ = x + ε,  ε ~ N(0, strength²) for each number
    on=words:  with probability `strength` a word is replaced by another one, drawn from the words
        of the batch, so that a word comes as often as it occurs (unigram noising)

    Padding stays as it is, and so do targets, also where they are the input moved on by a step.

    Null value: strength = 0.

    Source: Sietsma & Dow (1991), doi:10.1016/0893-6080(91)90033-2 (values); Xie et al. (2017),
    arXiv:1703.02573, unigram noising (words), with the frequencies of the batch in
    place of the corpus's.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"strength": 0.0}

    on: Literal["values", "words"] = setting("values", "what the task's source consists of")
    strength: float = setting(
        0.1, "σ of the noise on values; the share of words that are replaced", low=0.0,
        search=(0.01, 0.5, "log"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.on == "words" and self.strength > 1:
            raise Refusal(
                f"{self.name}: strength = {self.strength} is a share of words.\n"
                f"  Set tricks.{self.name}.strength=1 or less."
            )

    def sites(self) -> tuple[str, ...]:
        return () if self.strength == 0 else super().sites()

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        has = "words" if task.source.classes else "values"
        if has != self.on:
            raise Refusal(
                f"{self.name}: on = {self.on}, and the source of {task.name} consists of {has}.\n"
                f"  Set {self.name}:on={has}, with a strength that suits it."
            )
        return model

    def batch(self, batch: Batch, at: Moment) -> Batch:
        x = batch.x
        if self.on == "values":
            noisy = x + self.strength * torch.randn_like(x)
        else:
            noisy = torch.where(
                torch.rand(x.shape, device=x.device) < self.strength, words_like(batch), x
            )
        if batch.x_len is not None:
            mask_BT = valid(batch.x_len, x, x.shape[1])
            noisy = torch.where(mask_BT.view(*mask_BT.shape, *[1] * (x.dim() - 2)), noisy, x)
        return batch._replace(x=noisy)


def words_like(batch: Batch) -> Tensor:
    """Draw words (B, T), each from a place of the batch that is no padding, any as likely."""
    x = batch.x
    rows, steps = x.shape
    if batch.x_len is None:
        chosen = torch.randint(rows * steps, (rows * steps,), device=x.device)
    else:
        # A row is drawn as often as it is long, and then one of its steps.
        row = torch.multinomial(batch.x_len.to(torch.float), rows * steps, replacement=True)
        step = (torch.rand(rows * steps, device=x.device) * batch.x_len[row]).long()
        chosen = row * steps + step
    return x.flatten()[chosen].view_as(x)
