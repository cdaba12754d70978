"""Professor forcing: a model that behaves alike whether it reads the truth or itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Batch, Kind, Refusal, Result, State, Task, Trick, setting
from rnnbench.nn import Decoder, Model, reversed_rows


class Discriminator(nn.Module):
    """The logit that a behaviour is a teacher-forced one: two recurrent units, then a network.

    Suffixes: W width of the behaviour, K hidden width.
    """

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.ahead = nn.GRU(width, hidden, batch_first=True)
        self.back = nn.GRU(width, hidden, batch_first=True)
        self.judge = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, b_BSW: Tensor, len_B: Tensor | None) -> Tensor:
        ends = []
        for reader, read in ((self.ahead, b_BSW), (self.back, reversed_rows(b_BSW, len_B))):
            h_BSK, _ = reader(read)
            if len_B is None:
                ends.append(h_BSK[:, -1])
            else:
                at_B1K = (len_B - 1)[:, None, None].expand(-1, 1, h_BSK.shape[-1])
                ends.append(h_BSK.gather(1, at_B1K)[:, 0])
        return self.judge(torch.cat(ends, -1))[:, 0]


@dataclass(frozen=True)
class ProfessorForcing(Trick):
    """An adversary teaches a model to behave alike whether it reads the truth or itself.

    A discriminator learns to tell which of them was read, and the model to give it no sign.

    A behaviour b is the sequence of hidden states that the readout reads, and of what it says (of
    classes the probabilities). Beside -log p, with D the discriminator's probability of "truth":

    discriminator: -log D(b_truth) - log(1 - D(b_free)), where it is right less often than `skilled`
    model:         weight · (-log D(b_free) [- log(1 - D(b_truth)) with both=true]), where it is
                   right more often than `useful`

    Each reaches its own parameters alone; both are learnt in one step of the run's optimiser. The
    free pass begins as the other does, reads samples, through which no gradient flows, and has as
    many steps, so that a training step costs more than twice as much, step by step.

    Null value: weight = 0.

    Source: Lamb et al. (2016), arXiv:1610.09038, section 2; the thresholds of accuracy are theirs.
    The authors' discriminator is updated in turns with the model, here with it.
    """

    null: ClassVar[Mapping[str, Any] | None] = {"weight": 0.0}
    tiny: ClassVar[Mapping[str, Any]] = {"hidden": 4}

    weight: float = setting(1.0, "of what the model is to hide", low=0.0, search=(0.01, 1.0, "log"))
    hidden: int = setting(128, "units of the discriminator", unit="units", low=1)
    both: bool = setting(False, "the pass that reads the truth is to look like the free one too")
    outputs: bool = setting(True, "the discriminator sees outputs besides hidden states")
    skilled: float = setting(0.99, "accuracy from which it learns no more", low=0.0, high=1.0)
    useful: float = setting(0.75, "accuracy from which the model heeds it", low=0.0, high=1.0)

    def sites(self) -> tuple[str, ...]:
        return () if self.weight == 0 else super().sites()

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        continues = task.kind is Kind.ALIGNED and task.continues
        if not continues and not isinstance(model, Decoder):
            raise Refusal(
                f"{self.name} lets a model read its own output; that of {task.name} "
                f"({task.kind.value}) is never read.\n"
                "  Choose a task that generates, such as char-lm or ui-en-de."
            )
        readout = getattr(model, "readout", None)
        if not isinstance(readout, nn.Linear):
            raise Refusal(
                f"{self.name} watches what a linear readout reads; {type(model).__name__} has "
                f"none.\n  Drop {self.name}, or choose an architecture such as lstm or seq2seq."
            )
        width = readout.in_features + self.outputs * readout.out_features
        model.discriminator = Discriminator(width, self.hidden)
        model.register_forward_hook(self.compare)
        return model

    def compare(self, model: nn.Module, given: tuple[Any, ...], result: Result) -> Result:
        """Add both losses to what is minimised."""
        if not (model.training and torch.is_grad_enabled()):
            return result
        assert isinstance(model, Model)
        batch, state, feed = (*given, None, None)[:3]
        if feed is not None:
            raise Refusal(
                f"{self.name} compares with a pass that reads the truth, and another trick feeds "
                f"the decoder its guesses.\n  Drop {self.name}, or scheduled-sampling."
            )
        if result.hidden.is_meta and result.hidden.shape[1] < 2:
            raise Refusal(
                f"{self.name} compares behaviours over time, and here a pass has one step.\n"
                f"  Drop {self.name}, or the estimator that reads step by step."
            )
        free = run_free(model, batch, state)
        truth_BSW, free_BSW = (self.behaviour(model, r) for r in (result, free))
        penalty = self.losses(model.discriminator, truth_BSW, free_BSW, batch.y_len)
        whole = penalty if result.penalty is None else result.penalty + penalty
        return result._replace(penalty=whole)

    def behaviour(self, model: Model, result: Result) -> Tensor:
        """Return hidden states, and what is said beside them: (B, S, W)."""
        if not self.outputs:
            return result.hidden
        said = result.out.softmax(-1) if model.target.classes else result.out
        return torch.cat([result.hidden, said], -1)

    def losses(
        self, judge: Any, truth_BSW: Tensor, free_BSW: Tensor, len_B: Tensor | None
    ) -> Tensor:
        """Return both losses; gradients of each reach its own parameters alone."""
        if len_B is not None:  # a row without targets in this part has no behaviour
            len_B = len_B.clamp(min=1)
        t_B, f_B = (judge(b.detach(), len_B) for b in (truth_BSW, free_BSW))
        right = torch.cat([t_B > 0, f_B <= 0]).to(t_B.dtype).mean()
        learnt = F.softplus(-t_B).mean() + F.softplus(f_B).mean()
        total = learnt * (right < self.skilled)
        wanted = [(free_BSW, -1.0), *([(truth_BSW, 1.0)] if self.both else [])]
        for b_BSW, sign in wanted:
            heed = self.weight * (right > self.useful)
            total = total + heed * fooling(judge, b_BSW, sign, len_B)
        return total


def fooling(judge: Any, b_BSW: Tensor, sign: float, len_B: Tensor | None) -> Tensor:
    """Return mean softplus(sign · logit) of behaviours; its gradient spares the judge."""
    leaf = b_BSW.detach().requires_grad_()
    loss = F.softplus(sign * judge(leaf, len_B)).mean()
    (g_BSW,) = torch.autograd.grad(loss, leaf)
    through = (b_BSW * g_BSW).sum()
    return loss.detach() + through - through.detach()


def run_free(model: Model, batch: Batch, state: State) -> Result:
    """Run a pass of as many steps that reads what it samples.

    The model's own forward is called, without the hooks of other tricks, which a pass has had.
    """
    outs, hiddens = [], []
    if isinstance(model, Decoder):
        y, state = model.first(batch), model.begin(batch)
    else:
        y = batch.x[:, :1]
    for _ in range(batch.y.shape[1]):
        if isinstance(model, Decoder):
            out, hidden, state = model.extend(y, state)
        else:
            out, hidden, state, _ = type(model).forward(model, Batch(y, y), state)
        outs.append(out)
        hiddens.append(hidden)
        y = sampled(model, out.detach())
    return Result(torch.cat(outs, 1), torch.cat(hiddens, 1), state)


def sampled(model: Model, out_B1V: Tensor) -> Tensor:
    """Draw (B, 1) tokens from what a model says, or return its values."""
    if not model.target.classes:
        return model.target.choose(out_B1V)
    return torch.multinomial(out_B1V[:, -1].softmax(-1), 1)
