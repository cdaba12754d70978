"""Formal languages: strings whose next symbol is predicted, and which symbols are legal there."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from rnnbench.contract import Batch, Kind, Meter, Port, Prediction
from rnnbench.data.tasks.synthetic import Synthetic, pad
from rnnbench.metrics import LanguageModelling

__all__ = ["Automaton", "LegalStrings", "Strings"]


class Automaton:
    """A finite automaton in which a symbol leads from a state to one other.

    Args:
        moves: of each state, where each of its legal symbols leads; state 0 is the first. A state
            without moves ends a string.
        symbols: number of symbols.
    """

    def __init__(self, moves: Sequence[Mapping[int, int]], symbols: int) -> None:
        self.moves = moves
        dead = len(moves)  # where an illegal symbol leads: nothing is legal any more
        self.next_SV = torch.full((dead + 1, symbols), dead)
        for state, next_states in enumerate(moves):
            for symbol, to in next_states.items():
                self.next_SV[state, symbol] = to
        self.legal_SV = self.next_SV != dead

    def string(self, draw: Callable[[], float]) -> list[int]:
        """Draw a string, of which each legal symbol is as likely as the others.

        Args:
            draw: uniform numbers from [0, 1).
        """
        state, tokens = 0, []
        while self.moves[state]:
            options = list(self.moves[state].items())
            symbol, state = options[int(draw() * len(options))]
            tokens.append(symbol)
        return tokens

    def legal(self, x_BT: Tensor) -> Tensor:
        """Return (B, T, V): which symbols may follow each of the symbols read."""
        state_B = torch.zeros(len(x_BT), dtype=torch.long)
        states = []
        for x_B in x_BT.cpu().unbind(1):
            state_B = self.next_SV[state_B, x_B]
            states.append(state_B)
        return self.legal_SV[torch.stack(states, 1)]


class LegalStrings(Meter):
    """Measures "strings" and "bits".

    "strings" is the share of strings at all of whose steps the legal symbols are the most active;
    "bits" is in bits a symbol.

    A step is right where the most active output is a legal symbol's, above all illegal ones, and
    no illegal symbol's is above a legal one's.

    Args:
        legal: batch -> (B, T, V), which symbols may come next.
    """

    def __init__(self, legal: Callable[[Batch], Tensor]) -> None:
        self.legal = legal
        self.bits = LanguageModelling(("bits_per_char",))
        self.right = self.count = 0

    def update(self, batch: Batch, prediction: Prediction) -> None:
        self.bits.update(batch, prediction)
        legal, out, mask = self.legal(batch), prediction.out.cpu(), prediction.mask.cpu()
        never = torch.full_like(out, torch.inf)
        worst_legal = torch.where(legal, out, never).amin(-1)
        best_legal = torch.where(legal, out, -never).amax(-1)
        best_illegal = torch.where(legal, -never, out).amax(-1)
        right = (best_legal > best_illegal) & (worst_legal >= best_illegal)
        self.right += int((right | ~mask).all(1).sum())
        self.count += len(right)

    def compute(self) -> dict[str, float]:
        bits = self.bits.compute()["bits_per_char"]
        return {"strings": self.right / self.count, "bits": bits}


@dataclass(frozen=True)
class Strings(Synthetic):
    """Base of tasks that predict each next symbol of random strings: ALIGNED, not carried.

    x is a string without its last symbol and y without its first. Subclasses write `symbols` and
    `string`.
    """

    kind: ClassVar[Kind] = Kind.ALIGNED
    continues: ClassVar[bool] = True
    eval_batch: ClassVar[int] = 250

    @property
    def symbols(self) -> Sequence[str]:
        """Return the symbol of each token."""
        raise NotImplementedError

    def string(self, draw: Callable[[], float], split: str) -> list[int]:
        """Return the tokens of a string; `draw` gives uniform numbers from [0, 1)."""
        raise NotImplementedError

    @property
    def source(self) -> Port:
        return Port(classes=len(self.symbols), vocabulary="symbols")

    @property
    def target(self) -> Port:
        return Port(classes=len(self.symbols), vocabulary="symbols")

    def words(self, side: Literal["source", "target"]) -> Sequence[str]:
        return tuple(self.symbols)

    def draw(self, rows: int, rng: torch.Generator, split: str = "train") -> Batch:
        """Draw some items: x and y, both (rows, T), with their lengths."""
        # random.Random, because Python promises that random() gives this sequence for ever.
        draw = random.Random(int(torch.randint(2**62, (), generator=rng))).random
        return self.batch_of([self.string(draw, split) for _ in range(rows)])

    def batch_of(self, strings: list[list[int]]) -> Batch:
        """Return the batch of some strings of two symbols at least."""
        s_BT, len_B = pad(strings)
        return Batch(s_BT[:, :-1], s_BT[:, 1:], len_B - 1, len_B - 1)

    def bigram(self) -> Callable[[Batch], Tensor]:
        """Answer like one who counted pairs in 2000 training strings: log (n(b, c) + 1)."""
        b = self.draw(2000, torch.Generator().manual_seed(0))
        assert b.x_len is not None
        there_BT = torch.arange(b.x.shape[1]) < b.x_len[:, None]
        classes = len(self.symbols)
        pairs = (b.x * classes + b.y)[there_BT].bincount(minlength=classes**2)
        logits_VV = (pairs.view(classes, classes) + 1.0).double().log()
        return lambda batch: logits_VV[batch.x]

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read the beginning of a string, its symbols with or without blanks between them."""
        letters = [c for c in text if not c.isspace()]
        unknown = sorted(set(letters) - set(self.symbols))
        if unknown or not letters:
            raise ValueError(f"{self.name} reads {' '.join(self.symbols)}; got {text[:60]!r}")
        x = torch.tensor([[list(self.symbols).index(c) for c in letters]])
        return Batch(x, x), lambda y: "".join(self.symbols[i] for i in y.view(-1).tolist())

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """Show the first eight strings, and the most active symbol at each of their steps."""

        def text(row: Tensor, length: int) -> str:
            return "".join(self.symbols[i] for i in row[:length].tolist())

        assert batch.x_len is not None
        guess = prediction.out.argmax(-1)
        rows = zip(batch.x[:8], batch.y[:8], guess[:8], batch.x_len.tolist()[:8], strict=True)
        return [
            {"source": text(x, n), "target": text(y, n), "prediction": text(said, n)}
            for x, y, said, n in rows
        ]
