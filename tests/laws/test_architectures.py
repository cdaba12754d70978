"""Every shipped architecture obeys the laws, and so do right ones that are quite unlike them."""

import pytest

from laws.unusual_architectures import UNUSUAL
from rnnbench.testing import ArchitectureLaws, verdict
from rnnbench.testing.fixtures.small_architectures import SMALL
from rnnbench_architectures.elman import Elman
from rnnbench_architectures.gru import GRU
from rnnbench_architectures.lstm import LSTM
from rnnbench_architectures.transformer import Transformer


class TestElman(ArchitectureLaws):
    tiny = Elman(hidden=4)


class TestGRU(ArchitectureLaws):
    tiny = GRU(hidden=4)


class TestLSTM(ArchitectureLaws):
    tiny = LSTM(hidden=4)


class TestTransformer(ArchitectureLaws):
    tiny = Transformer(hidden=8, heads=2, layers=1, window=4)


OTHERS = [*list(SMALL.values())[1:], *UNUSUAL]
LAWS = ArchitectureLaws.laws.all


@pytest.mark.parametrize("plugin", OTHERS, ids=lambda plugin: str(plugin))
def test_no_law_is_broken_by_what_is_right(plugin):
    found = {law.name: verdict(law, plugin) for law in LAWS}
    assert {k: v.example for k, v in found.items() if v.outcome == "broken"} == {}
    assert sum(v.outcome == "held" for v in found.values()) > len(LAWS) / 3
