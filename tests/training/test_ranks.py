"""A step on several devices is the step of one: gradients, losses, noise, and what is refused."""

import pytest
import torch
from support.in_ranks import in_ranks

from rnnbench.contract import Batch, Moment, Refusal
from rnnbench.registry.registry import load
from rnnbench.spec.run_spec import Optimizer, PluginSpec, RunSpec
from rnnbench.testing.fixtures.backbones import doubled
from rnnbench.testing.fixtures.toy_tasks import TOYS
from rnnbench.training.devices.data_parallel import KeyedNoise
from rnnbench.training.devices.split_check import CHECKED, DRAWN, try_split
from rnnbench.training.train_step import TrickFold, assemble, make_optimizer, training_step

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def plugin(kind, name, **settings):
    return load(kind, name)(**settings)


def architecture(name="lstm", **settings):
    return plugin("architectures", name, **{"hidden": 6, **settings})


def trick(name, **settings):
    return plugin("tricks", name, **settings)


def uneven(task):
    """A batch whose rows have unlike numbers of targets."""
    a, b = task.example(0), task.example(1)
    rows = [
        None if u is None else u if isinstance(u, tuple) else torch.cat([u, v])[:5]
        for u, v in zip(a, b, strict=True)
    ]
    return doubled(Batch._make(rows))


def learn(by, task, arch, tricks, batch, steps=3):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    folded = TrickFold(tricks)
    model = assemble(arch, task, folded)
    optimizer = make_optimizer(Optimizer("sgd", lr=0.1), model.parameters(), folded)
    state, losses, weights, memory = None, [], [], {}
    for i in range(steps):
        optimizer.zero_grad()
        done = training_step(
            model, folded, batch, state, Moment(i, i / steps), task.carried,
            optimizer=optimizer, memory=memory, ranks=by,
        )  # fmt: skip
        optimizer.step()
        state = done.state
        losses.append(done.loss)
        weights.append(by.weight)
    whole_losses = by.whole_losses(torch.stack(losses), weights)
    return whole_losses, {n: p.detach().clone() for n, p in model.named_parameters()}


def assert_like_one(folder, task, arch, tricks, batch, world):
    dtype = torch.get_default_dtype()
    try:
        losses, weights = learn(KeyedNoise(0), task, arch, tricks, batch)
    finally:
        torch.set_default_dtype(dtype)
    for their_losses, their_weights in in_ranks(
        world, learn, task, arch, tricks, batch, folder=folder
    ):
        assert their_losses == pytest.approx(losses, rel=1e-12)
        for name, value in weights.items():
            torch.testing.assert_close(their_weights[name], value, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("toy", ["lm", "tagging", "classify", "regress", "translate", "forecast"])
def test_gradients_of_uneven_shares_are_those_of_one_device(tmp_path, toy, world):
    batch = uneven(TOYS[toy])
    assert_like_one(tmp_path, TOYS[toy], architecture(), [], batch, world)


def test_missing_targets_and_rests_smaller_than_the_ranks_count_rightly(tmp_path):
    task = TOYS["forecast"]
    batch = uneven(task)
    batch.y[1:3] = torch.nan
    assert_like_one(tmp_path, task, architecture(), [], batch, 2)
    (tmp_path / "rest").mkdir()
    last_rows = Batch._make(v[:2] if isinstance(v, torch.Tensor) else v for v in batch)
    assert_like_one(tmp_path / "rest", task, architecture(), [], last_rows, 3)


@pytest.mark.parametrize(
    "tricks",
    [
        [("tbptt", {"k1": 2})],
        [("clip", {"limit": 0.01}), ("gradient-noise", {})],
        [("input-noise", {})],
        [("ema", {})],
    ],
    ids=lambda t: "+".join(name for name, _ in t),
)
def test_tricks_outside_of_the_forward_pass_act_as_on_one_device(tmp_path, tricks):
    plugins = [trick(name, **settings) for name, settings in tricks]
    task = TOYS["classify" if tricks[0][0] == "input-noise" else "lm"]
    assert_like_one(tmp_path, task, architecture(), plugins, uneven(task), 2)


def test_noise_in_the_forward_pass_is_each_ranks_own(tmp_path):
    def draw(ranks):
        ranks.begin(3)
        shared = torch.rand(2).tolist()
        ranks.own()
        own = torch.rand(2).tolist()
        ranks.common()
        return shared, own, torch.rand(2).tolist()

    (a, b), again = in_ranks(2, draw, folder=tmp_path), KeyedNoise(0)
    assert a[0] == b[0]
    assert a[1] != b[1]
    assert a[2] == b[2]
    again.begin(3)
    assert torch.rand(2).tolist() == a[0], "drawn again after a resume"


def attempt(ranks, task, arch, tricks):
    spec = RunSpec(
        PluginSpec("toy", 1), PluginSpec(arch.name, 1), optimizer=Optimizer("sgd", batch=4)
    )
    try:
        return try_split(spec, task, arch, tricks, task.data("train", 0), ranks)
    except Refusal as refusal:
        return str(refusal)


@pytest.mark.parametrize(
    ("tricks", "reason"),
    [
        ([], CHECKED),
        (["clip", "tied-weights"], CHECKED),
        (["zoneout"], DRAWN),
        (["recurrent-batch-norm"], "does not act row by row"),
        (["recurrent-batch-norm", "zoneout"], "does not act row by row"),
        (["sam"], "does not act row by row"),
        (["rtrl"], CHECKED),
    ],
    ids=lambda v: "+".join(v) if isinstance(v, list) else "",
)
def test_what_cannot_be_split_is_found_by_trying(tmp_path, tricks, reason):
    plugins = [trick(name) for name in tricks]
    for conclusion in in_ranks(2, attempt, TOYS["lm"], architecture(), plugins, folder=tmp_path):
        assert reason in conclusion
        assert "trainer.devices=1" in conclusion or reason in (CHECKED, DRAWN)
