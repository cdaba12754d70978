"""The counting language aⁿbⁿcⁿ, on counts beyond those of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from rnnbench.contract import Batch, Data, Kind, Meter, Metric, Port, Prediction, Task, setting
from rnnbench.data import Generated, Items
from rnnbench.data.tasks.synthetic import Figures, score
from rnnbench.metrics import MeanSquaredError

SYMBOLS = "Sabc"  # what is read: the start, and the letters
LEGAL = "abcT"  # what may come next: the letters, and the end
_BOUND = 0.5  # outputs above it name a symbol that may come next


@dataclass(frozen=True)
class AnBnCn(Task):
    """Say after each symbol of a string aⁿbⁿcⁿ which symbols may come next.

    The input is S, n times a, n times b, n times c. The target has a value for each of a, b, c and
    the end T, 1 where it may come next and 0 elsewhere: a after S; a or b after an a, whatever n
    is; then b until there are n, c until there are n, and T. So nothing but counting is asked for,
    and how n is distributed plays no part. Outputs above 0.5 name what a model takes for legal; a
    string is right where that is so at all of its steps.

    In training n is drawn uniformly from 1 to `train_max`; validation has each of these once, and
    test each n beyond, up to `test_max`.
    "reach" is the greatest n up to which every string of the split is right, begun at its shortest:
    `train_max` in test where not even the next one is, and 0 in validation. "strings" is the share
    of right strings, "mse" the loss.
    Variant: Gers & Schmidhuber train with n from 1 to 10, 20, 30, 40 or 50; the squared error of
    all legal symbols and the threshold are those of Suzgun, Belinkov & Shieber (2018),
    arXiv:1811.01001, whose outputs pass a sigmoid.
    Trivial baseline: what is legal after each symbol on average, as training has it, which cannot
    count: no string of n above 1 right.
    Solved: a test reach of at least 18 after training on n up to 10, as far as the worst of the
    paper's networks with peepholes generalise.

    Source: Gers & Schmidhuber (2001), LSTM recurrent networks learn simple context-free and
    context-sensitive languages, IEEE Transactions on Neural Networks 12(6).
    """

    name: ClassVar[str] = "anbncn"
    kind: ClassVar[Kind] = Kind.ALIGNED
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("reach", "n", higher_is_better=True, help="greatest n with all up to it right"),
        Metric("strings", "share", higher_is_better=True, help="strings right at every step"),
        Metric("mse", "squared", help="mean squared error over symbols and steps"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 16,
        "optimizer.lr": 3e-3,
        "budget.steps": 4000,
        "budget.validate_every": 200,
    }
    tiny: ClassVar[Mapping[str, Any]] = {"train_max": 4, "test_max": 9, "train_items": 300}

    train_max: int = setting(10, "greatest n of training", low=1)
    test_max: int = setting(60, "greatest n of test", low=2)
    train_items: int = setting(10000, "items that count as an epoch", unit="items", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.test_max <= self.train_max:
            raise ValueError(
                f"{self.name}: test_max = {self.test_max} must be above train_max = "
                f"{self.train_max}, since test has the n between them"
            )

    @property
    def source(self) -> Port:
        return Port(classes=len(SYMBOLS))

    @property
    def target(self) -> Port:
        return Port(width=len(LEGAL))

    def words(self, side: Literal["source", "target"]) -> Sequence[str] | None:
        return tuple(SYMBOLS) if side == "source" else None

    def data(self, split: str, seed: int) -> Data:
        if split == "train":
            return Generated(self.draw, self.train_items, seed)
        low, high = (1, self.train_max) if split == "valid" else (self.train_max + 1, self.test_max)
        return Items(strings(torch.arange(low, high + 1)))

    def draw(self, rows: int, rng: torch.Generator) -> Batch:
        """Draw some training items."""
        return strings(torch.randint(1, self.train_max + 1, (rows,), generator=rng))

    def meter(self, split: str) -> Meter:
        return Reach()

    def baselines(self, split: str) -> Figures:
        """Score the mean target of each symbol over training, where each n is as frequent."""
        training = strings(torch.arange(1, self.train_max + 1))
        assert training.x_len is not None
        there = torch.arange(training.x.shape[1]) < training.x_len[:, None]
        x_NV = one_hot(training.x[there], len(SYMBOLS)).double()
        mean_VL = (x_NV.T @ training.y[there].double()) / x_NV.sum(0)[:, None]
        return {"by the last symbol": score(self, split, lambda batch: mean_VL[batch.x])}

    def ask(self, text: str) -> tuple[Batch, Callable[[Tensor], str]]:
        """Read a string without its S, such as aabb."""
        letters = "".join(text.split())
        if not letters or set(letters) - set(SYMBOLS[1:]):
            raise ValueError(f"{self.name} reads a, b and c; got {text[:60]!r}")
        x = torch.tensor([[SYMBOLS.index(c) for c in "S" + letters]])
        batch = Batch(x, torch.zeros(*x.shape, len(LEGAL)))
        return batch, lambda y: " ".join(map(_show_legal, y.view(-1, len(LEGAL))))

    def show(self, batch: Batch, prediction: Prediction) -> list[dict[str, str]]:
        """Show the first eight strings, with what may come next and what was taken to."""
        assert batch.x_len is not None
        rows = zip(batch.x[:8], batch.y[:8], prediction.out[:8], batch.x_len[:8], strict=True)
        return [
            {
                "source": "".join(SYMBOLS[i] for i in x[:n].tolist()),
                "target": " ".join(map(_show_legal, y[:n])),
                "prediction": " ".join(map(_show_legal, said[:n])),
            }
            for x, y, said, n in rows
        ]


def _show_legal(y_L: Tensor) -> str:
    """Return the symbols that are taken for legal: "ab"; "-" for none."""
    return "".join(s for s, v in zip(LEGAL, y_L.tolist(), strict=True) if v > _BOUND) or "-"


def strings(n_B: Tensor) -> Batch:
    """Return the strings of some n: x (B, 3n + 1), y (B, 3n + 1, 4), with their lengths."""
    len_B = 3 * n_B + 1
    t_T, n_B1 = torch.arange(int(len_B.max())), n_B[:, None]
    there_BT = t_T < len_B[:, None]
    x_BT = ((t_T + n_B1 - 1) // n_B1) * there_BT  # S at 0, then n steps of each letter
    first_BT = x_BT <= 1
    may_follow = [
        first_BT & there_BT,  # a, after S and after every a
        (x_BT >= 1) & (t_T < 2 * n_B1),  # b, after every a, until there are n
        (t_T >= 2 * n_B1) & (t_T < 3 * n_B1),
        t_T == 3 * n_B1,
    ]
    return Batch(x_BT, torch.stack(may_follow, 2).float(), len_B, len_B)


class Reach(Meter):
    """Measures "reach", "strings" and "mse"; see `AnBnCn`."""

    def __init__(self) -> None:
        self.mse = MeanSquaredError()
        self.right: dict[int, bool] = {}

    def update(self, batch: Batch, prediction: Prediction) -> None:
        self.mse.update(batch, prediction)
        assert batch.x_len is not None
        mask = prediction.mask.cpu()
        same = (prediction.out.cpu() > _BOUND) == (batch.y.cpu() > _BOUND)
        rights = (same | ~mask).flatten(1).all(1).tolist()
        for length, right in zip(batch.x_len.tolist(), rights, strict=True):
            n = (length - 1) // 3
            self.right[n] = right and self.right.get(n, True)

    def compute(self) -> dict[str, float]:
        mse = self.mse.compute()["mse"]
        ns = sorted(self.right)
        wrong = [n for n in ns if not self.right[n]]
        reach = ns[-1] if not wrong else max([n for n in ns if n < wrong[0]], default=ns[0] - 1)
        share = sum(self.right.values()) / len(ns)
        return {"reach": float(reach), "strings": share, "mse": mse}
