"""Tied weights: one tensor, and where there is nothing to tie."""

import pytest
from support.toys import TOYS, TinyLSTM

from rnnbench.contract import Refusal
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_tricks.tied_weights import TiedWeights


def test_tied_weights_are_one_tensor_and_train_as_one():
    task = TOYS["lm"]
    tricks = TrickFold([TiedWeights()])
    model = assemble(TinyLSTM(), task, tricks)
    assert model.embed.map.weight is model.readout.weight
    names = [n for n, _ in model.named_parameters()]
    assert "embed.map.weight" in names
    assert "readout.weight" not in names


@pytest.mark.parametrize(
    ("task", "architecture", "message"),
    [
        ("forecast", TinyLSTM(), "real-valued"),
        ("tagging", TinyLSTM(), "one vocabulary"),
        ("lm", TinyLSTM(embedding=5), "architecture.embedding"),
    ],
)
def test_tied_weights_are_refused_where_there_is_nothing_to_tie(task, architecture, message):
    with pytest.raises(Refusal, match=message):
        assemble(architecture, TOYS[task], TrickFold([TiedWeights()]))
