"""Tricks with one fault each at their null, in their effect or in what they refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from rnnbench.contract import Refusal, Trick, setting
from rnnbench.nn import GatedCell


class DroppedEmbedding(nn.Module):
    """An embedding with dropout on it; `always` at evaluation too."""

    def __init__(self, embed, rate, always=False):
        super().__init__()
        self.map, self.rate, self.always = embed.map, rate, always

    def forward(self, x):
        return F.dropout(self.map(x), self.rate, self.training or self.always)


@dataclass(frozen=True)
class InputDropout(Trick):
    """Dropout on what the model reads.

    Source: Zaremba, Sutskever & Vinyals (2014), arXiv:1409.2329.
    """

    null: ClassVar = {"rate": 0.0}

    rate: float = setting(0.4, "dropped share", low=0.0, high=0.9)

    def wrap(self, embed):
        return embed if self.rate == 0 else DroppedEmbedding(embed, self.rate)

    def model(self, model, task):
        if not hasattr(model, "embed"):
            raise Refusal(f"{self.name}: the model has no embedding.\n  Drop {self.name}.")
        model.embed = self.wrap(model.embed)
        return model


@dataclass(frozen=True)
class NullStillDrops(InputDropout):
    """Its null value is a small one.

    Source: made up.
    """

    null: ClassVar = {"rate": 0.05}


@dataclass(frozen=True)
class NullDraws(InputDropout):
    """Draws random numbers at rate 0 too, and so moves all noise after it.

    Source: made up.
    """

    def batch(self, batch, at):
        torch.rand(1)
        return batch


@dataclass(frozen=True)
class NullIsNoSetting(InputDropout):
    """Its null names something else.

    Source: made up.
    """

    null: ClassVar = {"probability": 0.0}


@dataclass(frozen=True)
class NullIsRefused(InputDropout):
    """Refuses its own null.

    Source: made up.
    """

    def model(self, model, task):
        if self.rate == 0:
            raise Refusal(f"{self.name}: nothing to do at rate 0.\n  Drop {self.name}.")
        return super().model(model, task)


@dataclass(frozen=True)
class ActsOnNothing(Trick):
    """Looks for gated cells and passes over all others without a word.

    Source: made up.
    """

    def cell(self, cell):
        if not isinstance(cell, GatedCell):
            return cell
        with torch.no_grad():
            cell.bias_x.fill_(1.0)
        return cell


@dataclass(frozen=True)
class HiddenSite(Trick):
    """Says that it acts nowhere, so that nothing is asked of it.

    Source: made up.
    """

    def sites(self):
        return ()

    def loss(self, loss, result, at):
        return loss + 0.1 * result.hidden.square().mean()


@dataclass(frozen=True)
class EarlyOnly(Trick):
    """Penalises activations in the first tenth of the budget.

    Source: made up.
    """

    def loss(self, loss, result, at):
        return loss if at.progress > 0.1 else loss + result.hidden.square().mean()


@dataclass(frozen=True)
class RefusesInOneLine(InputDropout):
    """Says no, and nothing else.

    Source: made up.
    """

    def model(self, model, task):
        if task.carried:
            raise Refusal(f"{self.name} cannot")
        return super().model(model, task)


@dataclass(frozen=True)
class RefusesWithoutItsName(InputDropout):
    """Says no, and not who says it.

    Source: made up.
    """

    def model(self, model, task):
        if task.carried:
            raise Refusal("a stream is not what this is for.\n  Choose another task.")
        return super().model(model, task)


@dataclass(frozen=True)
class RefusesEverything(Trick):
    """Never happy.

    Source: made up.
    """

    def model(self, model, task):
        raise Refusal(f"{self.name} likes no model.\n  Drop {self.name}.")


@dataclass(frozen=True)
class CrashesLate(InputDropout):
    """Goes wrong where the dry run, which is one step, does not go.

    Source: made up.
    """

    def loss(self, loss, result, at):
        if at.progress > 0.55:
            raise KeyError("late")
        return loss


@dataclass(frozen=True)
class KnowsNoShapes(InputDropout):
    """Is refused where there are shapes alone, and trains.

    Source: made up.
    """

    def loss(self, loss, result, at):
        if loss.is_meta:
            raise Refusal(f"{self.name} wants a value.\n  Drop {self.name}.")
        return loss


@dataclass(frozen=True)
class FailsItsDryRun(InputDropout):
    """Has a mistake in it.

    Source: made up.
    """

    def loss(self, loss, result, at):
        return loss + result.attention


BROKEN = [
    ("null_changes_nothing", NullStillDrops(), "differ"),
    ("null_changes_nothing", NullDraws(), "two scanned layers with dropout"),
    ("null_changes_nothing", NullIsNoSetting(), "probability, which is no setting"),
    ("null_changes_nothing", NullIsRefused(), "refused at null"),
    ("effect", ActsOnNothing(), "a cell whose step is whole / lm: ActsOnNothing() is accepted"),
    ("effect", HiddenSite(), "is accepted"),
    ("effect", EarlyOnly(), "steps at 50%, 75%, 100% of the budget"),
    ("refused_or_trained", RefusesInOneLine(), "no remedy"),
    ("refused_or_trained", RefusesWithoutItsName(), "does not name refuses-without-its-name"),
    ("refused_or_trained", RefusesEverything(), "refused at all"),
    ("refused_or_trained", CrashesLate(), "check passed, then KeyError"),
    ("refused_or_trained", KnowsNoShapes(), "a step that is made passes, and without memory: "),
    ("refused_or_trained", FailsItsDryRun(), "fails its dry run"),
]
