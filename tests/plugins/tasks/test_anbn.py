"""aⁿbⁿ as a stream: its text, its floor, and learning it character by character."""

import math

import pytest
import torch

from rnnbench.results.record import Status
from rnnbench.results.store import Store
from rnnbench.spec.compose import compose
from rnnbench.training.execute import execute
from rnnbench.training.resolve import resolve
from rnnbench_tasks.anbn import SYMBOLS, AnBn


def test_the_text_is_runs_of_equal_length_on_lines_of_their_own():
    text = "".join(SYMBOLS[i] for i in AnBn(characters=5000).text("train", 0))
    lines = text.split("\n")[:-1]
    pairs = list(zip(lines[::2], lines[1::2], strict=False))[:-1]
    assert all(set(a) == {"a"} and set(b) == {"b"} and len(a) == len(b) for a, b in pairs)
    lengths = [len(a) for a, _ in pairs]
    assert min(lengths) >= 1
    assert max(lengths) <= 32
    assert len(set(lengths)) > 20


def test_batches_read_the_text_in_order():
    task = AnBn(characters=500, length=7)
    data = task.data("train", 0)
    rng = torch.Generator()
    read = [data.batch(key, rng) for key in data.order(1, rng)]
    text = torch.from_numpy(task.text("train", 0)).long()
    assert torch.equal(torch.cat([b.x[0] for b in read]), text[:-1])
    assert torch.equal(torch.cat([b.y[0] for b in read]), text[1:])


def test_the_floor_is_what_counting_costs_on_the_text_itself():
    """Each of the 32 lengths is as likely, so that the end of the a's costs log2(32) in all."""
    task = AnBn()
    tokens = "".join(SYMBOLS[i] for i in task.text("test", 0))
    bits, count = 0.0, 0
    for run in tokens.split("\n")[0:-2:2]:
        n = len(run)
        for k in range(1, n + 1):  # after k a's: another, or the end
            chance = 1 / (33 - k)
            bits -= math.log2(chance if k == n else 1 - chance)
        count += 2 * n + 2
    floor = task.baselines("test")["counting"]["bits_per_char"]
    assert floor == pytest.approx(5 / 35)
    assert bits / count == pytest.approx(floor, rel=0.05)


def test_held_out_texts_ignore_the_seed_and_training_follows_it():
    task = AnBn(characters=1000)
    assert (task.text("train", 0) != task.text("train", 1)).any()
    assert (task.text("valid", 0) != task.text("test", 0)).any()
    one, two = (task.data("valid", seed).batch((1, 0, 50), None) for seed in (0, 1))
    assert torch.equal(one.x, two.x)


def test_a_prompt_is_read_as_letters():
    batch, say = AnBn().ask("aab\n")
    assert batch.x.tolist() == [[0, 0, 1, 2]]
    assert say(torch.tensor([1, 2])) == "b\n"
    with pytest.raises(ValueError, match="reads a, b"):
        AnBn().ask("abc")
    with pytest.raises(ValueError, match="below low"):
        AnBn(low=5, high=4)


@pytest.mark.slow
def test_uoro_learns_the_stream_beyond_the_bigrams(tmp_path):
    """A part of the paper's run, which is sweeps/anbn-online.yaml: minutes on one core."""
    settings = {"architecture.hidden": 64, "task.length": 100, "budget.steps": 1500,
                "budget.validate_every": 300}  # fmt: skip
    schedule = "inverse-sqrt:alpha=0.03,form=outside"
    figures = {}
    for trick in ("uoro", "tbptt:k1=1"):
        spec = resolve(compose("anbn", "gru", [trick, schedule], settings))
        record = execute(spec, store=Store(tmp_path))
        assert record.status is Status.DONE, record.reason
        figures[trick] = record.metrics["test"]["bits_per_char"]
        print(
            trick, figures[trick], [values["loss"] / math.log(2) for _, _, values in record.curve]
        )
    assert figures["uoro"] < 0.3
