"""Weight decay of each kind of parameter against torch's own."""

import pytest
import torch
from support.toys import TOYS, TinyLSTM
from torch import nn

from rnnbench.contract import Moment, Refusal
from rnnbench.spec.run_spec import Optimizer
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble, make_optimizer
from rnnbench_architectures.lstm import LSTM
from rnnbench_architectures.mamba import Mamba
from rnnbench_architectures.transformer import Transformer
from rnnbench_tricks.tied_weights import TiedWeights
from rnnbench_tricks.warmup_cosine import WarmupCosine
from rnnbench_tricks.weight_decay import WeightDecay, kinds_of


def trained(model):
    return [p.detach().clone() for p in model.parameters()]


# ---------------------------------------------------------------------------------- weight decay


def one_kind(model, kind):
    """An optimiser of torch knows no kinds: groups by hand."""
    kinds = kinds_of(model)
    return [
        {"params": [p for p in model.parameters() if kinds[p] == kind]},
        {"params": [p for p in model.parameters() if kinds[p] != kind], "weight_decay": 0.0},
    ]


@pytest.mark.parametrize("decoupled", [True, False])
def test_weight_decay_of_recurrent_matrices_is_torch_s_on_a_group_of_these(decoupled):
    tricks = TrickFold([WeightDecay(recurrent=0.3, decoupled=decoupled)])
    torch.manual_seed(0)
    model = assemble(TinyLSTM(), TOYS["lm"], tricks)
    torch.manual_seed(0)
    plain = assemble(TinyLSTM(), TOYS["lm"], TrickFold())
    ours = make_optimizer(Optimizer(lr=0.05), model.parameters(), tricks)
    cls = torch.optim.AdamW if decoupled else torch.optim.Adam
    theirs = cls(one_kind(plain, "recurrent"), lr=0.05, weight_decay=0.3)
    random = torch.Generator().manual_seed(3)
    for _ in range(5):
        for p, q in zip(model.parameters(), plain.parameters(), strict=True):
            p.grad = torch.randn(p.shape, generator=random)
            q.grad = p.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(trained(model), trained(plain))


def test_every_parameter_is_of_one_kind():
    model = assemble(LSTM(hidden=6, peepholes=True), TOYS["translate"], TrickFold())
    named = {name: kinds_of(model)[p] for name, p in model.named_parameters()}
    assert named["embed.map.weight"] == "embedding"
    assert named["encoder.layers.0.weight_h"] == "recurrent"
    assert named["backbone.layers.0.weight_x"] == "input"
    assert named["encoder.layers.0.bias_x"] == named["encoder.layers.0.peephole_i"] == "bias"
    assert named["readout.weight"] == named["condition.weight"] == "other"
    tied = assemble(TinyLSTM(), TOYS["lm"], TrickFold([TiedWeights()]))
    assert kinds_of(tied)[tied.readout.weight] == "embedding"


def test_what_an_architecture_marks_as_never_decaying_is_of_no_kind():
    rates = {"bias": 0.5, "other": 0.5, "embedding": 0.5, "recurrent": 0.0}
    tricks = TrickFold([WeightDecay(**rates)])
    model = assemble(Mamba(hidden=8, layers=1), TOYS["lm"], tricks)
    optimizer = make_optimizer(Optimizer(name="sgd", lr=0.1), model.parameters(), tricks)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    same = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
    assert sorted(name.rpartition("selection.")[2] for name in same) == [
        "around", "log_decay", "steps.bias",
    ]  # fmt: skip


def test_decay_of_a_kind_that_a_model_has_none_of_is_refused():
    with pytest.raises(Refusal, match="recurrent"):
        check(Transformer(hidden=8, heads=2), TOYS["lm"], [WeightDecay()],
              batch=TOYS["lm"].example())  # fmt: skip
    with pytest.raises(Refusal, match="embedding"):
        check(TinyLSTM(), TOYS["classify"], [WeightDecay(embedding=0.1)],
              batch=TOYS["classify"].example())  # fmt: skip


def test_decoupled_decay_follows_the_scheduled_learning_rate():
    p = nn.Parameter(torch.ones(1, dtype=torch.float64))
    p.kind_for_weight_decay = "other"
    sgd = torch.optim.SGD([p], lr=0.5)
    decay = WeightDecay(recurrent=0.0, other=0.2)
    optimizer = decay.optimizer(WarmupCosine(warmup=0.5).optimizer(sgd))
    optimizer.schedule(Moment(0, 0.25))  # half of the rate
    p.grad = torch.zeros(1, dtype=torch.float64)
    optimizer.step()
    assert p.item() == pytest.approx(1 - 0.25 * 0.2)
