"""Every shipped trick obeys the laws: here at a few places, and beside a few others.

`pytest -m slow tests/laws/test_tricks.py` holds each at every place and beside every other trick,
as `rnnbench check-plugin` does.
"""

import pytest

from rnnbench.registry.registry import discover, load
from rnnbench.testing import TrickLaws, trick_laws, verdict
from rnnbench.testing.law import tiny
from rnnbench.testing.tricks.rehearsals import Rehearsals, every_place, refusal

TRICKS = sorted(
    name for name, entry in discover()[0]["tricks"].items() if entry.distribution == "rnnbench"
)
FEW = (
    "one scanned layer / lm",
    "one scanned layer / classify",
    "one scanned layer / caption",
    "a cell whose step is whole / forecast",
    "no recurrent cell / lm",
    "lstm / lm",
    "seq2seq / translate",
)
BESIDE = (1,)  # how far down the alphabet the tricks are that one is composed with


def few_places(trick):
    """Return one place of each kind; all places where these refuse the trick."""
    few = tuple(place for place in every_place() if place.words in FEW)
    return few if any(refusal(trick, p) is None for p in few) else every_place()


def broken(laws, trick):
    return {v.law.name: v.example for v in laws.judge(trick) if v.outcome == "broken"}


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_obeys_the_laws_at_a_few_places(name):
    trick = tiny(load("tricks", name))
    i = TRICKS.index(name)
    beside = [TRICKS[(i + far) % len(TRICKS)] for far in BESIDE]
    laws = trick_laws.laws_at(Rehearsals(few_places(trick), beside))
    assert broken(laws, trick) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_obeys_the_laws_everywhere(name):
    assert broken(TrickLaws.laws, tiny(load("tricks", name))) == {}


def test_a_law_that_is_broken_at_one_of_the_few_places_is_found(monkeypatch):
    clip = tiny(load("tricks", "clip"))
    monkeypatch.setattr(trick_laws, "has_effect", lambda *args: False)
    laws = trick_laws.laws_at(Rehearsals(few_places(clip)))
    law = next(law for law in laws.all if law.name == "effect")
    assert verdict(law, clip).outcome == "broken"
