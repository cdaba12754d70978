"""Laws, and how one plugin is held against all of its kind's.

A law is a function that takes the plugin and raises `Broken` with the smallest example it found.
`rnnbench check-plugin` prints them as a table; `ArchitectureLaws`, `TaskLaws` and `TrickLaws` run
the same functions under pytest.
"""

from __future__ import annotations

import contextlib
import functools
import time
import traceback
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch

from rnnbench.contract import Architecture, Plugin
from rnnbench.errors import PluginError
from rnnbench.testing.variants import variants
from rnnbench.training.determinism import random_state, seed_everything, set_random_state


class Broken(AssertionError):
    """Raised with an example where a law does not hold."""


class Suspect(AssertionError):
    """Raised with the evidence where a law may be broken, which its author alone can tell."""


class LawWarning(UserWarning):
    """Is given under pytest where a law finds a plugin suspect."""


class DoesNotApply(Exception):
    """Raised with the reason where a law says nothing about a plugin."""


@dataclass(frozen=True)
class Law:
    """A promise that every plugin of a kind keeps.

    Attributes:
        statement: the promise, in one line.
        mend: where to look when it is broken.
        everywhere: held on neighbouring settings too (two layers, dropout on, each choice), since
            a fault may hide where the small instance has a feature switched off.
        declarable: a plugin may say why it is as the law finds it: `Plugin.declares`. The reason
            stands on boards.
    """

    name: str
    statement: str
    mend: str
    hold: Callable[[Any], None]
    everywhere: bool = False
    declarable: bool = False


OUTCOMES = ("held", "broken", "suspect", "declared", "does not apply")


@dataclass(frozen=True)
class Verdict:
    """The outcome of a law for a plugin: one of `OUTCOMES`."""

    law: Law
    outcome: str
    example: str = ""
    seconds: float = 0.0


class Laws:
    """The laws of one kind of plugin, in the order in which they were written.

    Args:
        parts: laws written elsewhere, that come first.
    """

    def __init__(self, *parts: Laws) -> None:
        self.all: list[Law] = [law for part in parts for law in part.all]

    def law(
        self, statement: str, mend: str, *, everywhere: bool = False, declarable: bool = False
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Enter a function as a law; see `Law` for the arguments."""

        def enter(hold: Callable[..., None]) -> Callable[..., None]:
            self.all.append(Law(hold.__name__, statement, mend, hold, everywhere, declarable))
            return hold

        return enter

    def bound(self, *arguments: Any) -> Laws:
        """Return these laws with `arguments` handed to each of them after the plugin."""
        laws = Laws()
        for law in self.all:
            hold = functools.partial(_call, law.hold, arguments)
            laws.all.append(replace(law, hold=hold))
        return laws

    def judge(self, plugin: Plugin) -> Iterator[Verdict]:
        """Hold a plugin against every law.

        Raises:
            PluginError: it declares something of a law that there is not, or that allows no reason.
        """
        may = [law.name for law in self.all if law.declarable]
        for name in plugin.declares:
            if name not in may:
                raise PluginError(
                    f"{plugin.name} declares {name!r}, and no law of that name takes a reason; "
                    f"those that do: {', '.join(may)}"
                )
        for law in self.all:
            yield verdict(law, plugin)


def _call(hold: Callable[..., None], arguments: Sequence[Any], plugin: Plugin) -> None:
    hold(plugin, *arguments)


def verdict(law: Law, plugin: Plugin) -> Verdict:
    """Hold a plugin against one law; an error inside the plugin breaks the law."""
    began = time.perf_counter()
    outcome, example = _outcome(law, plugin)
    if outcome == "held" and law.everywhere:
        for changed, variant in variants(plugin):
            variant_outcome, variant_example = _outcome(law, variant)
            if variant_outcome in ("broken", "suspect"):
                outcome, example = variant_outcome, f"with {changed}: {variant_example}"
                break
    if outcome == "suspect" and law.declarable and law.name in plugin.declares:
        outcome, example = "declared", f"{plugin.declares[law.name]} ({example})"
    return Verdict(law, outcome, example, time.perf_counter() - began)


def _outcome(law: Law, plugin: Plugin) -> tuple[str, str]:
    try:
        with undisturbed():
            law.hold(plugin)
    except DoesNotApply as why:
        return "does not apply", str(why)
    except Broken as example:
        return "broken", str(example)
    except Suspect as evidence:
        return "suspect", str(evidence)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return "broken", f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"
    return "held", ""


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Seed and use one thread; then put random numbers, threads and warnings back."""
    threads, before = torch.get_num_threads(), random_state()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a verdict may not depend on the caller's filters
            seed_everything(0)
            yield
    finally:
        torch.set_num_threads(threads)
        set_random_state(before)


def tiny(cls: type[Plugin]) -> Any:
    """Make a small instance: with the class's `tiny` settings, else an architecture of 8 units."""
    chosen: Mapping[str, Any] = cls.tiny
    has_units = issubclass(cls, Architecture) and any(f.name == "hidden" for f in fields(cls))  # type: ignore[arg-type]
    if not chosen and has_units:
        chosen = {"hidden": 8}
    return cls(**chosen)


ELSEWHERE = "_at_neighbouring_settings"  # ends the names of tests that take several times as long


class PluginLaws:
    """Base of the pytest classes: one test a law, and one more for its neighbouring settings.

    class TestElman(ArchitectureLaws):
        tiny = Elman(hidden=4)
    """

    laws: ClassVar[Laws]
    tiny: ClassVar[Any] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "laws" not in cls.__dict__:
            return
        for law in cls.laws.all:
            setattr(cls, f"test_{law.name}", _test(replace(law, everywhere=False)))
            if law.everywhere:
                setattr(cls, f"test_{law.name}{ELSEWHERE}", _test(law))


def _test(law: Law) -> Callable[[PluginLaws], None]:
    def test(self: PluginLaws) -> None:
        if self.tiny is None:
            raise TypeError(f"{type(self).__name__} needs `tiny = YourPlugin(...)`")
        judged = verdict(law, self.tiny)
        if judged.outcome == "broken":
            raise Broken(f"{law.statement}\n  {judged.example}\n  To mend: {law.mend}")
        if judged.outcome == "suspect":
            text = f"{law.statement}\n  {judged.example}\n  To mend: {law.mend}"
            warnings.warn(text, LawWarning, stacklevel=2)
        if judged.outcome == "does not apply":
            raise unittest.SkipTest(judged.example)

    test.__doc__ = law.statement
    return test


def differ(a: Any, b: Any, tolerance: float = 0.0) -> str | None:
    """Return where two nested structures of tensors differ by more than `tolerance`, or None."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.shape != b.shape:
            return f"shapes {tuple(a.shape)} and {tuple(b.shape)}"
        if a.numel() == 0:
            return None
        if not (a.is_floating_point() or a.is_complex()):
            return None if torch.equal(a, b) else "other values"
        # NaN in the same places is no difference; a gap of NaN fails the comparison, as it should.
        gap = torch.where((a == b) | (a.isnan() & b.isnan()), 0, (a - b).abs()).max().item()
        return None if gap <= tolerance else f"by up to {gap:.3g}"
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        if len(a) != len(b):
            return f"{len(a)} and {len(b)} parts"
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            difference = differ(x, y, tolerance)
            if difference:
                return f"part {i}: {difference}"
        return None
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return "as one of them is missing"
    return None if a == b else f"{a!r} and {b!r}"
