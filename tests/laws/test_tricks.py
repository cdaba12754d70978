"""Every shipped trick obeys the laws: here at a few places, and beside a few others.

`pytest -m slow tests/test_laws_tricks.py` holds each at every place and beside every other trick,
as `rnnbench check-plugin` does.
"""

import pytest

from rnnbench.registry.registry import discover, load
from rnnbench.testing import TrickLaws, trick_laws, verdict
from rnnbench.testing.law import tiny
from rnnbench.testing.tricks import short_runs as rehearsal

TRICKS = sorted(
    name for name, entry in discover()[0]["tricks"].items() if entry.distribution == "rnnbench"
)
EVERY = rehearsal.places
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
    """One of each kind; all places where these refuse it."""
    few = tuple(place for place in EVERY() if place.words in FEW)
    return few if any(rehearsal.refusal(trick, p) is None for p in few) else EVERY()


def broken(trick):
    found = TrickLaws.laws.judge(trick)
    return {v.law.name: v.example for v in found if v.outcome == "broken"}


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_obeys_the_laws_at_a_few_places(name, monkeypatch):
    trick = tiny(load("tricks", name))
    few = few_places(trick)
    for module in (rehearsal, trick_laws):
        monkeypatch.setattr(module, "places", lambda: few)
    i = TRICKS.index(name)
    beside = {TRICKS[(i + far) % len(TRICKS)] for far in BESIDE}
    monkeypatch.setattr(trick_laws, "scan", lambda: [{"tricks": beside}])
    assert broken(trick) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_obeys_the_laws_everywhere(name):
    assert broken(tiny(load("tricks", name))) == {}


def test_a_law_that_is_broken_at_one_of_the_few_places_is_found(monkeypatch):
    clip = tiny(load("tricks", "clip"))
    monkeypatch.setattr(trick_laws, "has_effect", lambda *args: False)
    monkeypatch.setattr(trick_laws, "places", lambda: few_places(clip))
    law = next(law for law in TrickLaws.laws.all if law.name == "effect")
    assert verdict(law, clip).outcome == "broken"
