"""ListOps: work out nested lists of operations on digits."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Prediction, Task, setting
from rnnbench.errors import SpecError
from rnnbench.metrics import Accuracy
from rnnbench_tasks._trees import Trees

_OPERATORS: dict[str, Callable[[list[int]], int]] = {
    "[MAX": max,
    "[MIN": min,
    "[MED": lambda values: int(np.median(values)),  # of an even number: the mean, rounded down
    "[SM": lambda values: sum(values) % 10,
}
WORDS = (*map(str, range(10)), *_OPERATORS, "]")  # a word's place is its token
_CLOSE = len(WORDS) - 1
_SEED = 2018


class Expression(NamedTuple):
    """A list as its tokens, and what it comes to."""

    tokens: tuple[int, ...]
    value: int


@dataclass(frozen=True)
class ListOps(Task):
    """Work out a nested list of operations on digits, such as [MAX 2 9 [MIN 4 7 ] 0 ].

    The operators are MAX, MIN, MED (the median, of an even number of values the mean of the middle
    two, rounded down) and SM (the sum modulo 10); the answer is a digit. The tokens are the ten
    digits, an opening bracket with its operator, and the closing bracket. A sequence model reads
    them left to right. For a tree model a list's node is its closing bracket, whose children are
    the operator and the arguments: digits, or the closing brackets of the lists inside.

    Variant: lists are drawn as in the original, where an argument is a list with probability 0.25
    (`nested`) and a list has 2 to 5 arguments, but the outermost is always a list, at most
    `max_depth` are inside each other, and those of other lengths than `min_length` to `max_length`
    tokens, and those drawn before, are dropped. The original's brackets of binary trees are left
    out, as in later versions. Items are the same for every run, and none occurs twice in all.
    Trivial baseline: the commonest answer of training, about 11% right.
    Solved: test accuracy of at least 0.95.

    Source: Nangia & Bowman (2018), ListOps: a diagnostic dataset for latent tree learning,
    arXiv:1804.06028.
    """

    name: ClassVar[str] = "listops"
    kind: ClassVar[Kind] = Kind.SEQ_TO_VEC
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "share", higher_is_better=True, help="lists worked out rightly"),
    )
    selection: ClassVar[str] = "accuracy"
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 64,
        "optimizer.lr": 3e-3,
        "budget.steps": 3000,
        "budget.validate_every": 300,
    }
    eval_batch: ClassVar[int] = 250
    tiny: ClassVar[Mapping[str, Any]] = {"train_items": 800, "valid_items": 80, "test_items": 90}

    max_depth: int = setting(6, "lists inside each other, the outermost included", low=1, high=50)
    max_args: int = setting(5, "arguments of a list, at least 2", low=2)
    nested: float = setting(0.25, "probability that an argument is a list", low=0.0, high=1.0)
    min_length: int = setting(8, "tokens of an item", unit="tokens", low=4)
    max_length: int = setting(50, "tokens of an item", unit="tokens", low=4)
    train_items: int = setting(20000, "items of the training split", unit="items", low=1)
    valid_items: int = setting(1000, "items of the validation split", unit="items", low=1)
    test_items: int = setting(2000, "items of the test split", unit="items", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_length > self.max_length:
            raise ValueError(
                f"listops: min_length = {self.min_length} is above max_length = {self.max_length}"
            )

    @property
    def source(self) -> Port:
        return Port(classes=len(WORDS), layout="tree")

    @property
    def target(self) -> Port:
        return Port(classes=10)

    def data(self, split: str, seed: int) -> Data:
        chosen = self._splits[split]
        return Trees(
            [e.tokens for e in chosen],
            [parents(e.tokens) for e in chosen],
            torch.tensor([e.value for e in chosen]),
        )

    def meter(self, split: str) -> Meter:
        return Accuracy()

    def baselines(self, split: str) -> dict[str, dict[str, float]]:
        """Score the answer that is always the commonest of the training split."""
        majority = np.bincount([e.value for e in self._splits["train"]]).argmax()
        share = float(np.mean([e.value == majority for e in self._splits[split]]))
        return {"commonest answer": {"accuracy": share}}

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read a list such as "[SM 3 [MAX 1 8 ] 4 ]", its words between blanks."""
        words = text.replace("]", " ] ").split()
        unknown = [word for word in words if word not in WORDS]
        if unknown:
            raise ValueError(f"listops reads {', '.join(WORDS)} between blanks; got {unknown[0]!r}")
        tokens = [WORDS.index(word) for word in words]
        row = Trees([tokens], [parents(tokens)], torch.zeros(1, dtype=torch.long))
        return row.batch(torch.tensor([0]), None), lambda y: str(int(y))

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """Show the first eight lists with their answers."""
        lengths = batch.x_len.tolist() if batch.x_len is not None else [batch.x.shape[1]] * 8
        rows = zip(batch.x.tolist(), lengths, batch.y.tolist(), prediction.out.argmax(-1).tolist(),
                   strict=False)  # fmt: skip
        return [
            {"source": " ".join(WORDS[token] for token in x[:length]), "target": str(y),
             "prediction": str(guess)}
            for x, length, y, guess in list(rows)[:8]
        ]  # fmt: skip

    @cached_property
    def _splits(self) -> dict[str, list[Expression]]:
        """Draw the splits: held-out ones first, so that they do not depend on `train_items`."""
        sizes = {"test": self.test_items, "valid": self.valid_items, "train": self.train_items}
        # random.Random, because Python promises that random() gives this sequence for ever.
        draw = random.Random(_SEED).random
        expressions: dict[tuple[int, ...], Expression] = {}
        tries, needed = 0, sum(sizes.values())
        while len(expressions) < needed:
            tries += 1
            if tries > 1000 * needed:
                raise SpecError(
                    f"listops: {tries - 1} draws gave {len(expressions)} different lists, and "
                    f"{needed} are asked for.\n  Widen min_length to max_length, or ask for fewer "
                    "items."
                )
            tokens: list[int] = []
            try:
                value = self._draw(draw, 1, tokens)
            except _TooLongError:
                continue
            if len(tokens) >= self.min_length:
                expressions.setdefault(tuple(tokens), Expression(tuple(tokens), value))
        items, splits = iter(expressions.values()), {}
        for name, size in sizes.items():
            splits[name] = [next(items) for _ in range(size)]
        return splits

    def _draw(self, draw: Callable[[], float], depth: int, tokens: list[int]) -> int:
        """Append a list's tokens, and return its value."""
        word = list(_OPERATORS)[int(draw() * len(_OPERATORS))]
        tokens.append(WORDS.index(word))
        values = []
        for _ in range(2 + int(draw() * (self.max_args - 1))):
            if depth < self.max_depth and draw() < self.nested:
                values.append(self._draw(draw, depth + 1, tokens))
            else:
                values.append(int(draw() * 10))
                tokens.append(values[-1])
        tokens.append(_CLOSE)
        if len(tokens) > self.max_length:
            raise _TooLongError
        return _OPERATORS[word](values)


class _TooLongError(Exception):
    """A list that was drawn has more tokens than are wanted."""


def parents(tokens: Sequence[int]) -> list[int]:
    """Return the place of each token's parent: the closing bracket of the list that it stands in.

    Raises:
        ValueError: the tokens are not one list with arguments in every list.
    """
    parent_T = [-1] * len(tokens)
    open_lists: list[list[int]] = []
    for place, token in enumerate(tokens):
        if place and not open_lists:
            raise ValueError(f"a list ends before word {place + 1}, {WORDS[token]!r}")
        if 10 <= token < _CLOSE:
            open_lists.append([place])
            continue
        if token == _CLOSE:
            children = open_lists.pop() if open_lists else []
            if len(children) < 2:
                raise ValueError(f"word {place + 1}, ']', closes a list without arguments")
            for child in children:
                parent_T[child] = place
        if open_lists:
            open_lists[-1].append(place)
    if open_lists or not tokens or tokens[-1] != _CLOSE:
        raise ValueError("the words are no list: each [MAX, [MIN, [MED, [SM needs its ]")
    return parent_T
