"""Fixtures of the tests that hold whole packages of plugins."""

import pytest

from rnnbench.testing.tricks.rehearsals import Rehearsals


@pytest.fixture(params=["a few", pytest.param("all", marks=pytest.mark.slow)])
def companions(request, monkeypatch):
    """Compose tricks with a few others, or with every one, which takes a minute."""
    if request.param == "a few":
        few = property(lambda self: ["clip", "ema", "zoneout"])
        monkeypatch.setattr(Rehearsals, "companions", few)
