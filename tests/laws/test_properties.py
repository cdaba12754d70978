"""Properties that hold for all inputs, on inputs that nobody chose."""

import dataclasses
import itertools
import json
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_records import fake_records

from rnnbench.contract import Moment, Trick
from rnnbench.leaderboard.boards import build
from rnnbench.spec.run_spec import Budget, Optimizer, PluginSpec, RunSpec
from rnnbench.testing.fixtures.small_architectures import SMALL
from rnnbench.training.train_step import TrickFold
from rnnbench_architectures.elman import Elman
from rnnbench_architectures.gru import GRU
from rnnbench_architectures.lstm import LSTM
from rnnbench_architectures.transformer import Transformer

quick = settings(max_examples=25, deadline=None, database=None, derandomize=True)

ARCHITECTURES = {
    "elman": Elman(hidden=4),
    "gru": GRU(hidden=4, layers=2),
    "lstm": LSTM(hidden=4),
    "transformer": Transformer(hidden=8, heads=2, layers=2, window=5),
    **SMALL,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
@quick
@given(st.data())
def test_chunks_equal_one_pass_wherever_the_cuts(name, data):
    steps = data.draw(st.integers(1, 24), "steps")
    cuts = data.draw(st.sets(st.integers(1, steps - 1) if steps > 1 else st.nothing()), "cuts")
    torch.manual_seed(data.draw(st.integers(0, 999), "seed"))
    backbone = ARCHITECTURES[name].build(3, causal=True).double().eval()
    x = torch.randn(2, steps, 3, dtype=torch.float64)
    whole, final = backbone(x)
    places, state, outputs = [0, *sorted(cuts), steps], None, []
    for a, b in itertools.pairwise(places):
        y, state = backbone(x[:, a:b], state)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, 1), whole, atol=1e-10, rtol=0)
    torch.testing.assert_close(state, final, atol=1e-10, rtol=0)


def affine(factor, term):
    """A trick that maps the loss to factor · loss + term."""

    class Affine(Trick):
        name = f"affine-{factor}-{term}"

        def loss(self, loss, result, at):
            return factor * loss + term

    return Affine()


@quick
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=5), st.integers(-9, 9))
def test_tricks_at_a_site_are_folded_in_the_order_given(maps, value):
    tricks = TrickFold([affine(*m) for m in maps])
    expected = value
    for factor, term in maps:
        expected = factor * expected + term
    assert tricks.fold("loss", value, None, Moment(0, 0.0)) == expected
    assert tricks.unreached() == []


names = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,5})?", fullmatch=True)
fields = st.from_regex(r"[a-z][a-z_]{0,10}", fullmatch=True).filter(
    lambda f: f not in ("name", "version")
)
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
values = st.one_of(plain, st.lists(plain, max_size=3), st.tuples(plain, plain))
plugins = st.builds(
    lambda name, version, own: PluginSpec(name, version, tuple(own.items())),
    names, st.integers(1, 9), st.dictionaries(fields, values, max_size=4),
)  # fmt: skip
specs = st.builds(
    RunSpec,
    task=plugins,
    architecture=plugins,
    tricks=st.lists(plugins, max_size=3).map(tuple),
    optimizer=st.builds(Optimizer, lr=st.floats(1e-6, 1.0), batch=st.integers(1, 512)),
    budget=st.builds(Budget, steps=st.integers(1, 10**6)),
    seed=st.integers(0, 2**31),
    data=st.text("0123456789abcdef", max_size=12),
    test=st.booleans(),
)


@quick
@given(specs)
def test_a_spec_survives_as_text(spec):
    again = RunSpec.from_dict(json.loads(spec.canonical()))
    assert again == spec
    assert again.canonical() == spec.canonical()
    assert hash(again) == hash(spec)
    assert again.run_id == spec.run_id


def shuffled(value, rng):
    """Return nested dicts with their keys in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {k: shuffled(value[k], rng) for k in keys}
    return [shuffled(v, rng) for v in value] if isinstance(value, list) else value


@quick
@given(specs, st.randoms(use_true_random=False))
def test_a_run_id_does_not_depend_on_the_order_of_keys(spec, rng):
    again = RunSpec.from_dict(shuffled(spec.as_dict(), rng))
    for name in ("run_id", "config_id", "protocol_id"):
        assert getattr(again, name) == getattr(spec, name)


@quick
@given(specs, st.integers(1, 10**6))
def test_a_run_id_depends_on_the_seed_and_a_config_id_does_not(spec, shift):
    other = dataclasses.replace(spec, seed=spec.seed + shift)
    assert other.run_id != spec.run_id
    assert other.config_id == spec.config_id


@settings(quick, max_examples=8)
@given(st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_leaderboard_does_not_depend_on_the_order_of_records(seed, rng):
    records = fake_records(seed)
    other = list(records)
    rng.shuffle(other)
    assert build(other) == build(records)


def test_the_order_of_records_is_really_shuffled():
    records = fake_records()
    other = random.Random(1).sample(records, len(records))
    assert other != records
