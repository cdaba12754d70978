"""`rnnbench diagnose`: a linear network whose Jacobian is known, and the command."""

import json
import math

import pytest
import torch
from support.command_line import TINY, call

from rnnbench.nn import GatedCell, Stack
from rnnbench.registry.registry import discover, load
from rnnbench.testing.fixtures.toy_tasks import TOYS, Bigrams
from rnnbench.testing.law import tiny
from rnnbench.trained.diagnose import diagnose
from rnnbench.trained.load import Trained
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_architectures.elman import Elman
from rnnbench_architectures.lstm import LSTM
from rnnbench_architectures.xlstm import XLSTM
from rnnbench_tricks.layer_norm import LayerNorm

LM = TOYS["lm"]


class Linear(GatedCell):
    """h_t = p_t + W h_{t-1}."""

    def update(self, gates_x, gates_h, state):
        return (gates_x + gates_h,)


class LinearNet(Elman):
    """A network whose only nonlinearity is the readout's loss."""

    def build(self, d_in, *, causal):
        return Stack([Linear(d_in, self.hidden)])


class Long(Bigrams):
    """40 steps of language modelling."""

    def example(self, seed=0):
        x = torch.randint(5, (4, 40), generator=torch.Generator().manual_seed(seed))
        return super().example(seed)._replace(x=x, y=x % 4)


def linear(decay):
    torch.manual_seed(0)
    task = Long()
    model = assemble(LinearNet(hidden=6), task, TrickFold())
    with torch.no_grad():
        model.backbone.layers[0].weight_h.copy_(decay * torch.eye(6))
    return Trained(None, task, model)


@pytest.mark.parametrize("decay", [0.5, 0.9, 1.0, 1.1])
def test_norms_of_a_linear_network_grow_or_vanish_as_powers(decay):
    figures = diagnose(linear(decay))
    assert figures["steps"] == 40
    (f,) = figures["layers"].values()
    for t in range(40):
        power = decay ** (39 - t)
        # Random directions: exact here but for their length, which is the same for all t.
        assert f["gain"][t] / f["gain"][-1] == pytest.approx(power, rel=1e-5)
        assert f["gradient"][t] / f["gradient"][-1] == pytest.approx(power, rel=1e-5)
    assert f["gain"][-1] == pytest.approx(1, rel=0.3)
    for values in f["singular_values"].values():
        assert values == pytest.approx([decay] * 6, rel=1e-6)


def test_the_horizon_is_where_a_hundredth_is_left():
    for decay in (0.5, 0.8):
        (f,) = diagnose(linear(decay))["layers"].values()
        assert f["horizon"] == math.ceil(math.log(0.01) / math.log(decay))
    (f,) = diagnose(linear(1.0))["layers"].values()
    assert f["horizon"] is None


def gates_of(architecture, *tricks):
    torch.manual_seed(0)
    model = assemble(architecture, LM, TrickFold(tricks))
    with torch.no_grad():
        for name, p in model.backbone.named_parameters():
            if "weight" in name:
                p.zero_()
            elif name.endswith("bias_x"):
                p.copy_(torch.tensor([-5.0, 5.0, 5.0, 0.0]).repeat_interleave(3))
            elif name.endswith("bias_h"):
                p.zero_()
    (f,) = diagnose(Trained(None, LM, model), rows=4)["layers"].values()
    return f["gates"]


def test_gates_are_told_by_what_they_do_and_the_candidate_is_none():
    """Without weights they are σ of their biases: input -5, forget 5, output 0."""
    gates = gates_of(LSTM(hidden=3))
    assert {name: (g["closed"], g["open"]) for name, g in gates.items()} == {
        "input": (1, 0), "forget": (0, 1), "output": (0, 0),
    }  # fmt: skip
    assert gates["forget"]["mean"] == pytest.approx(1 / (1 + math.exp(-5)))


def test_an_exponential_gate_is_not_told_as_if_it_were_between_0_and_1():
    gates = gates_of(XLSTM(hidden=3, heads=1, layers=1, blocks="slstm"))
    assert set(gates) == {"forget", "output"}


def test_gates_that_see_more_than_the_products_are_not_told():
    assert gates_of(LSTM(hidden=3, peepholes=True)) == {}
    assert gates_of(LSTM(hidden=3), LayerNorm()) == {}


@pytest.mark.parametrize("name", sorted(discover()[0]["architectures"]))
def test_every_architecture_can_be_diagnosed(name):
    plugin = tiny(load("architectures", name))
    diagnosed = 0
    for toy in (TOYS["lm"], TOYS["classify"], TOYS["translate"], TOYS["forecast"]):
        torch.manual_seed(0)
        try:
            model = assemble(plugin, toy, TrickFold())
        except ValueError:  # refused
            continue
        before = {k: v.clone() for k, v in model.state_dict().items()}
        figures = diagnose(Trained(None, toy, model), rows=4)
        for f in figures["layers"].values():
            assert all(math.isfinite(v) and v >= 0 for v in f["gradient"])
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        diagnosed += bool(figures["layers"])
    if not diagnosed:
        assert name in {"mdlstm", "mdrnn", "recursive", "tree-lstm", "pointer-network", "lstnet",
                        "pointer-generator", "temporal-attention", "da-rnn",
                        "influence-balancing", "dlinear", "segrnn", "patchtst", "seasonal-naive",
                        "n-gram"}  # fmt: skip


def test_the_command_writes_picture_and_data(tmp_path):
    call("run", "char-lm", "lstm", *TINY, "-q", "--no-test", "--out", tmp_path)
    output = call("diagnose", "char-lm", "--untrained", "--to", tmp_path / "d", "--out", tmp_path)
    figures = json.loads((tmp_path / "d/diagnosis.json").read_text())
    assert len(figures) == 2
    assert any("untrained" in run for run in figures)
    picture = (tmp_path / "d/diagnosis.svg").read_text()
    assert picture.startswith("<?xml")
    assert "horizon" in output
    again = tmp_path / "again"
    call("diagnose", "char-lm", "--untrained", "--to", again, "--out", tmp_path)
    assert (again / "diagnosis.svg").read_bytes() == (tmp_path / "d/diagnosis.svg").read_bytes()
