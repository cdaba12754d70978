"""N-gram: an interpolated Kneser-Ney language model, which is counted and not trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from rnnbench.contract import Architecture, Batch, Kind, Refusal, Result, State, Task, setting
from rnnbench.data import KneserNey
from rnnbench.nn import Model
from rnnbench.nn.models import Feed

NONE = -1  # in a context: before the first token


class NGramModel(Model):
    """See `NGram`. The state is the last n - 1 tokens."""

    def __init__(self, architecture: NGram, task: Task):
        super().__init__(task.target)
        shared = task.source.vocabulary and task.source.vocabulary == task.target.vocabulary
        if task.kind is not Kind.ALIGNED or not task.causal or not shared:
            raise Refusal(
                f"{architecture.name} counts which token follows which; {task.name} is no language "
                "model.\n  Choose one, such as char-lm."
            )
        self.task, self.order = task, architecture.order
        self.counted: KneserNey | None = None
        # Nothing is learnt. A parameter without numbers lets the one training step run.
        self.nothing = nn.Parameter(torch.zeros(0))

    def count(self) -> KneserNey:
        """The model of the training text: the rows of its stream, one after the other."""
        if self.counted is None:
            data = self.task.data("train", 0)
            rows = [data.batch(key, None).x for key in data.order(1, None)]
            text_N = torch.cat(rows, 1).flatten().numpy()
            self.counted = KneserNey(text_N, self.target.classes, self.order)
        return self.counted

    def forward(self, batch: Batch, state: State = None, feed: Feed | None = None) -> Result:
        x_BT, reach = batch.x, self.order - 1
        rows, steps = x_BT.shape
        past_BR = x_BT.new_full((rows, reach), NONE) if state is None else state
        seen_BU = torch.cat([past_BR, x_BT], 1)
        kept = seen_BU[:, seen_BU.shape[1] - reach :]
        kind = self.nothing.dtype
        if x_BT.is_meta:  # shapes alone
            out_BTV = torch.empty(rows, steps, self.target.classes, device="meta", dtype=kind)
        else:
            at_TR = torch.arange(steps)[:, None] + torch.arange(1, reach + 1)
            context = seen_BU.cpu().numpy()[:, at_TR.numpy()].reshape(rows * steps, reach)
            p = self.count().distribution(context)
            out_BTV = torch.from_numpy(np.log(p)).to(x_BT.device, kind).view(rows, steps, -1)
        out_BTV = out_BTV + self.nothing.sum()
        return Result(out_BTV, out_BTV, kept)


@dataclass(frozen=True)
class NGram(Architecture):
    """Interpolated modified Kneser-Ney: what counting alone gives, with no parameters.

    p(w | h) = (c(h w) - D(c(h w))) / Σ_w c(h w) + γ(h) p(w | h')

    h' is h without its oldest token, γ(h) what the discounts took away; shorter n-grams count
    the different tokens before them. It is counted on the training split when it is first asked.
    Training changes nothing, so give it a budget of one step.

    Source: Kneser and Ney (1995), ICASSP; the modified discounts of Chen and Goodman (1999),
    Computer Speech & Language 13, 359-394.
    """

    name: ClassVar[str] = "n-gram"
    tiny: ClassVar[Mapping[str, Any]] = {"order": 2}

    order: int = setting(5, "tokens of the longest n-grams", unit="tokens", low=2, search=(2, 7))

    def model(self, task: Task) -> nn.Module:
        return NGramModel(self, task)
