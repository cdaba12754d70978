"""Models of one task: a loss per target element, and for decoders one stepping interface."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Batch, Port, Refusal, Result, State, detach
from rnnbench.nn.attention import valid
from rnnbench.nn.models.decoding import GREEDY, Decoded, Decoding, decode

IGNORED = -100  # torch's convention for a class that no loss counts

Feed = Callable[[Tensor, Tensor], Tensor]  # (gold, guess) -> what the decoder reads next


class Embed(nn.Module):
    """A map of tokens (a table) or values (linear): (B, T) or (B, T, W) -> (B, T, D)."""

    def __init__(self, port: Port, width: int):
        super().__init__()
        self.map = (
            nn.Embedding(port.classes, width) if port.classes else nn.Linear(port.width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x)


class Model(nn.Module):
    """A model p(y | x) for one task. Subclasses write `forward(batch, state, feed)`.

    Attributes:
        target: what it predicts.
        decodes: it can produce y without seeing it (see `Decoder`).
    """

    decodes = False

    def __init__(self, target: Port):
        super().__init__()
        self.target = target

    def forward(self, batch: Batch, state: State = None, feed: Feed | None = None) -> Result:
        raise NotImplementedError

    def readout_for(self, width: int) -> nn.Linear:
        return nn.Linear(width, self.target.outputs)

    def gold(self, batch: Batch) -> Tensor:
        """Return the target with padding marked as ignored (classes) or missing (values)."""
        if batch.y_len is None:
            return batch.y
        mask = valid(batch.y_len, batch.y, batch.y.shape[1])
        if self.target.classes:
            return batch.y.masked_fill(~mask, IGNORED)
        return batch.y.masked_fill(~mask[..., None], torch.nan)

    def loss(self, out: Tensor, batch: Batch) -> Tensor:
        """Return the mean over the counted target elements.

        It is in nats for classes and distributions, and the squared error for values without one.
        """
        y = self.gold(batch)
        if self.target.classes:
            return F.cross_entropy(out.flatten(0, -2), y.flatten(), ignore_index=IGNORED)
        nll, mask = self._nll_of_values(out, y)
        return nll.sum() / mask.sum().clamp(min=1)

    def nll(self, out: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of each element, 0 where not counted, and the mask of what is counted."""
        y = self.gold(batch)
        if self.target.classes:
            flat = F.cross_entropy(
                out.flatten(0, -2), y.flatten(), ignore_index=IGNORED, reduction="none"
            )
            return flat.view(y.shape), y != IGNORED
        return self._nll_of_values(out, y)

    def _nll_of_values(self, out: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        mask = ~y.isnan()
        # The inner `where` keeps NaN out of the gradient, the outer one out of the sum.
        y = torch.where(mask, y, 0.0)
        own = self.target.distribution
        nll = (out - y).square() if own is None else own.nll(out, y)
        return torch.where(mask, nll, 0.0), mask

    def carry(self, state: State) -> State:
        """Return the part of the final state that the next batch of a stream starts from."""
        return detach(state)

    def decode(self, batch: Batch) -> Tensor:
        """Produce y without seeing it: see `Decoder`."""
        raise NotImplementedError(f"{type(self).__name__} does not decode")

    def decoded(
        self, batch: Batch, how: Decoding = GREEDY, rng: torch.Generator | None = None
    ) -> Decoded:
        """Produce y with its score and what was looked at, chosen in another way where wanted.

        Raises:
            Refusal: the model produces y in one piece, and another way than "greedy" is asked for.
        """
        self.refuse_other_ways(how)
        return Decoded(self.decode(batch))

    def refuse_other_ways(self, how: Decoding) -> None:
        """Refuse what only a step-by-step decoder can do.

        Raises:
            Refusal: another way than "greedy" is asked for.
        """
        if how.method != "greedy":
            raise Refusal(f"{type(self).__name__} puts out y in one piece: nothing to {how.method}")


class Decoder(Model):
    """A model that produces y step by step. Subclasses write `begin` and `extend`.

    Teacher forcing, scheduled sampling, greedy and sampled decoding are written once on these.
    """

    decodes = True

    def begin(self, batch: Batch) -> State:
        """Read x; return the state before the first output. Every tensor is batch-first."""
        raise NotImplementedError

    def extend(self, y: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """Read (B, S) tokens or (B, S, V) values; return out (B, S, V), hidden (B, S, H), state."""
        raise NotImplementedError

    def first(self, batch: Batch) -> Tensor:
        """Return what the decoder reads before its first output: the start token, or zeros."""
        rows = batch.x.shape[0]
        if self.target.classes:
            start = self.target.start or 0
            return torch.full((rows, 1), start, dtype=torch.long, device=batch.x.device)
        dtype = batch.x.dtype if batch.x.is_floating_point() else torch.get_default_dtype()
        return torch.zeros(rows, 1, self.target.width, dtype=dtype, device=batch.x.device)

    def shifted(self, batch: Batch) -> Tensor:
        """Return the gold inputs: `first`, then y but its last step; missing values repeat."""
        y = torch.cat([self.first(batch), batch.y[:, :-1]], 1)
        if self.target.classes:
            return y
        at = torch.arange(y.shape[1], device=y.device)[:, None]
        last_seen = torch.where(y.isnan(), 0, at).cummax(1).values
        return y.gather(1, last_seen)

    def forward(self, batch: Batch, state: State = None, feed: Feed | None = None) -> Result:
        gold, state = self.shifted(batch), self.begin(batch)
        if feed is None:
            return Result(*self.extend(gold, state))
        outs, hiddens, y = [], [], gold[:, :1]
        for t in range(gold.shape[1]):
            out, hidden, state = self.extend(y, state)
            outs.append(out)
            hiddens.append(hidden)
            if t + 1 < gold.shape[1]:
                y = feed(gold[:, t + 1 : t + 2], self.guess(out).detach())
        return Result(torch.cat(outs, 1), torch.cat(hiddens, 1), state)

    def guess(self, out: Tensor) -> Tensor:
        """Return the most probable next input: (B, 1) tokens or (B, 1, V) values."""
        return self.target.choose(out)

    def attention(self, state: State) -> Tensor | None:
        """Return how much the latest output looked at each source position (B, T), or None."""
        return None

    def decode(self, batch: Batch) -> Tensor:
        """Produce the most probable output at each step without seeing y: see `decode`."""
        return self.decoded(batch).y

    def decoded(
        self, batch: Batch, how: Decoding = GREEDY, rng: torch.Generator | None = None
    ) -> Decoded:
        return decode(self, batch, how, rng=rng)


class Continuation:
    """A causal aligned model that goes on by reading its own output, such as a language model.

    Args:
        model: of an ALIGNED task whose `continues` is true; the batches given to it are prompts
            of at least one step and equal lengths.
    """

    def __init__(self, model: Model):
        self.model, self.target = model, model.target

    def begin(self, batch: Batch) -> State:
        if batch.x.shape[1] == 1:
            return None
        x = batch.x[:, :-1]
        return self.model(Batch(x, x)).state

    def first(self, batch: Batch) -> Tensor:
        return batch.x[:, -1:]

    def extend(self, y: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        result = self.model(Batch(y, y), state)
        return result.out, result.hidden, result.state

    def attention(self, state: State) -> Tensor | None:
        return None
