"""A split with nothing to train or to measure on is refused before compute, and in whose name."""

import dataclasses
import re
from datetime import date, timedelta

import pytest
import torch
from support.command_line import call
from support.toys import TOYS, TinyLSTM

from rnnbench.contract import Batch, Kind, Refusal
from rnnbench.data import Items, KneserNey
from rnnbench.errors import SplitRefusal, SweepError
from rnnbench.spec.compose import compose
from rnnbench.spec.instantiate import Plugins
from rnnbench.sweep.file.sweep import parse_sweep
from rnnbench.sweep.plan import installed_plugins, plan_cells
from rnnbench.testing.fixtures.toy_tasks import Toy
from rnnbench.training.checks.splits import refuse_short_splits
from rnnbench.training.dry_run import check
from rnnbench_architectures.n_gram import NGram

SHORT = ["csv-forecast", "dlinear", "task.horizon=24"]


def table(rows):
    first = date(2024, 1, 1)
    days = (f"{first + timedelta(days=i)},{(7 * i) % 11}" for i in range(rows))
    return "time,v\n" + "\n".join(days)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RNNBENCH_RESULTS", str(tmp_path / "results"))
    (tmp_path / "t.csv").write_text(table(140))
    (tmp_path / "long.txt").write_text("the cat sat on the mat\n" * 20)
    (tmp_path / "one.txt").write_text("cat ")
    return tmp_path


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_validation_part_without_a_window_is_refused_with_a_horizon_that_fits(folder, command):
    path = f"task.path={folder / 't.csv'}"
    said = call(command, *SHORT, path, code=2)
    assert "refused: csv-forecast: valid has 14 rows, too few" in said
    assert "dlinear" not in said
    fits = re.search(r"Set (task\.horizon=\d+)", said)[1]
    assert "possible" in call("check", *SHORT[:2], fits, path)
    assert not list(folder.glob("results/runs/*"))


@pytest.mark.parametrize(("context", "horizon"), [(400, 13), (90, 14), (80, 100)])
def test_what_a_refused_window_is_told_to_be_fits_every_split(folder, context, horizon):
    settings = {"task.context": context, "task.horizon": horizon, "task.season": 1}

    def try_it(code):
        typed = [f"{name}={value}" for name, value in settings.items()]
        return call("check", *SHORT[:2], f"task.path={folder / 't.csv'}", *typed, code=code)

    advice = re.search(r"Set (task\.\w+)=(\d+) or lower", try_it(2))
    settings[advice[1]] = int(advice[2])
    try_it(0)


def test_where_one_setting_is_not_enough_both_are_named(folder):
    typed = ["task.context=500", "task.horizon=500", f"task.path={folder / 't.csv'}"]
    said = call("check", *SHORT[:2], *typed, code=2)
    assert "Set both task.context and task.horizon lower" in said


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_text_of_one_token_is_refused_whatever_it_is_for(folder, split):
    files = {s: folder / ("one.txt" if s == split else "long.txt") for s in
             ("train", "valid", "test")}  # fmt: skip
    said = call("check", "text-lm", "gru", *(f"task.{s}={f}" for s, f in files.items()), code=2)
    assert f"refused: text-lm: the {split} text has one word, and needs two at least" in said
    assert f"Give task.{split} a longer text, or set task.unit=character" in said


SWEEP = """\
name: short
tasks: [{{name: csv-forecast, path: {path}}}]
architectures: [dlinear]
settings:
  all: {{budget.steps: 2{more}}}
search:
  trials: 2
  space: {{{space}}}
final: {{seeds: [1]}}
"""


@pytest.mark.parametrize(
    ("more", "space", "line"),
    [
        ("", "optimizer.lr: {low: 0.001, high: 0.1}", 2),
        (", task.horizon: 12", "task.context: {low: 10, high: 500}", 8),
        ("", "task.horizon: {low: 2, high: 100}", 8),
        (", task.horizon: 100", "optimizer.lr: {low: 0.001, high: 0.1}", 5),
    ],
)
def test_a_sweep_is_refused_at_the_line_of_the_setting_before_its_first_trial(
    folder, more, space, line
):
    text = SWEEP.format(path=folder / "t.csv", space=space, more=more)
    with pytest.raises(SweepError, match=rf"short\.yaml:{line}: csv-forecast: .* has \d+ rows"):
        plan_cells(parse_sweep(text, "short.yaml"), installed_plugins())


class Whole(Items):
    """Gives whole batches only."""

    def order(self, size, rng):
        return [key for key in super().order(size, rng) if len(key) == size]


@dataclasses.dataclass(frozen=True)
class Cut(Toy):
    """A toy of which one split is another."""

    split: str = "valid"
    fault: str = "empty"

    def data(self, split, seed):
        batch = self.example()
        if split != self.split:
            return Items(batch)
        if self.fault == "empty":
            return Items(Batch._make(v[:0] if torch.is_tensor(v) else v for v in batch))
        if self.fault == "whole batches":
            return Whole(batch)
        if self.fault == "no target":
            return Items(batch._replace(y=torch.full_like(batch.y, torch.nan)))
        raise IndexError("list index out of range")


def refuse(**fault):
    task = Cut("UNALIGNED", TOYS["forecast"].ports, column=1, **fault)
    spec = compose("adding", "gru", [], {"optimizer.batch": 9}, seed=0, test=True)
    refuse_short_splits(spec, Plugins(task, TinyLSTM(), []))


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("empty", "cut: {} is empty"),
        ("no target", "cut: {} has no target to measure: all of its 4 items lack one"),
        ("crash", "cut gives no batch of {}"),
    ],
)
def test_a_split_that_gives_nothing_is_refused_in_the_name_of_its_task(split, fault, said):
    with pytest.raises(SplitRefusal, match=re.escape(said.format(split))):
        refuse(split=split, fault=fault)


def test_a_batch_larger_than_what_a_split_has_of_whole_ones_is_refused_with_a_size_that_fits():
    with pytest.raises(SplitRefusal, match="train has 4 items, which give no batch of 9 rows") as e:
        refuse(split="train", fault="whole batches")
    assert "Set optimizer.batch=4 or lower" in str(e.value)


def test_a_run_that_leaves_test_alone_is_not_held_to_its_size():
    task = Cut("UNALIGNED", TOYS["forecast"].ports, column=1, split="test")
    spec = compose("adding", "gru", [], {}, seed=0, test=False)
    refuse_short_splits(spec, Plugins(task, TinyLSTM(), []))


@pytest.mark.parametrize(("order", "fits"), [(17, False), (16, False), (15, True)])
def test_n_grams_longer_than_the_training_text_are_refused_before_they_are_counted(order, fits):
    @dataclasses.dataclass(frozen=True)
    class OneRow(Toy):
        def data(self, split, seed):
            batch = Batch._make(v[:1] if torch.is_tensor(v) else v for v in self.example())
            assert self.kind is Kind.ALIGNED
            x = torch.cat([batch.x] * 3, 1)
            return Items(Batch(x, x))

    task = OneRow(ports=TOYS["lm"].ports)
    if fits:
        check(NGram(order=order), task)
        KneserNey(torch.zeros(16, dtype=torch.long).numpy(), 7, order)
        return
    said = f"order = {order} needs more than {order} training tokens"
    with pytest.raises(Refusal, match=said) as e:
        check(NGram(order=order), task)
    assert "Set architecture.order=15 or lower" in str(e.value)
