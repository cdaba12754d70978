"""Outputs that reach the most tokens that decoding makes: a setting, counted, and said."""

import json

import pytest
import torch
from click.testing import CliRunner
from support.small_runs import run_in

from rnnbench.cli import main
from rnnbench.cli.actions.run import remarks
from rnnbench.contract import Batch, Port
from rnnbench.leaderboard.boards import build
from rnnbench.nn.models.output_lengths import OutputLengths
from rnnbench.spec.compose import compose
from rnnbench.training.resolve import resolve

SETTINGS = {
    "task.tokens": "words", "task.min_count": 1, "architecture.hidden": 6, "optimizer.batch": 16,
    "budget.steps": 2, "budget.validate_every": 2,
}  # fmt: skip


@pytest.fixture
def repeats(tmp_path, monkeypatch):
    """Return a function that composes a run on letters to repeat, more often in test."""
    monkeypatch.setenv("RNNBENCH_DATA", str(tmp_path / "data"))
    for split, counts in (("train", (1, 2, 3)), ("valid", (2, 3)), ("test", (3, 8))):
        pairs = [f"{c} {n}\t{' '.join(c * n)}\n" for c in "abcd" for n in counts]
        (tmp_path / f"{split}.tsv").write_text("".join(pairs))

    def run(**task):
        settings = SETTINGS | {
            "task.source_file": str(tmp_path / "train.tsv"),
            "task.valid_source_file": str(tmp_path / "valid.tsv"),
            "task.test_source_file": str(tmp_path / "test.tsv"),
        } | {f"task.{k}": v for k, v in task.items()}  # fmt: skip
        return resolve(compose("parallel-text", "seq2seq", [], settings))

    return run


def test_outputs_may_be_as_long_as_max_length_says(repeats, tmp_path):
    lengths = {}
    for limit in (0, 2, 12):
        _, record = run_in(tmp_path / "runs", repeats(max_length=limit))
        told = record.provenance["decoding"]
        assert told["max_length"] == (limit or 4)  # one more than the 3 of training
        assert told["setting"] == "max_length"
        lengths[limit] = max(len(e["prediction"].split()) for e in record.examples)
        if told["test"]["reached"]:
            assert lengths[limit] == told["max_length"]
    assert lengths[2] <= 2


def test_shares_of_cut_outputs_and_of_longer_targets_are_in_the_record_and_said(repeats, tmp_path):
    _, record = run_in(tmp_path / "runs", repeats(max_length=2))
    told = record.provenance["decoding"]
    assert told["test"]["longer_targets"] == 1.0
    assert told["valid"]["longer_targets"] == 0.5
    told["test"]["reached"] = 0.25
    (board,) = build([record])
    limit = "the limit of 2 tokens (task.max_length)"
    (row,) = board.ranked
    cut = f"25% of its outputs on test reached {limit} and were cut off"
    longer = f"all of the targets on test are longer than {limit}, so no output can equal them."
    assert cut in row.marks
    assert longer in board.notes
    assert remarks(record)[-2:] == [cut, longer]
    told["test"] |= {"reached": 0.01, "longer_targets": 0.01}
    (board,) = build([record])
    assert not any("limit" in mark for mark in (*board.ranked[0].marks, *board.notes))


def test_targets_that_no_output_can_equal_are_told_before_anything_is_computed(repeats, tmp_path):
    files = {
        f"task.{name}": value
        for name, value in repeats().task.settings
        if value and (name.endswith("_file") or name in ("tokens", "min_count"))
    }
    command = ["check", "parallel-text", "seq2seq", *(f"{k}={v}" for k, v in files.items())]
    told = CliRunner().invoke(main, command).output
    assert (
        "50% of the targets on test have more than the 4 tokens of the longest output: no output "
        "can equal them.\n  For outputs of that length set task.max_length=9\n"
    ) in told
    told = CliRunner().invoke(main, [*command, "task.max_length=9"]).output
    assert "no output can equal" not in told
    assert "\npossible" in told


def test_only_a_max_length_that_was_chosen_is_part_of_a_runs_identity(repeats):
    plain, chosen = repeats(), repeats(max_length=12)
    assert "max_length" not in dict(plain.task.settings)
    assert repeats(max_length=0).run_id == plain.run_id != chosen.run_id
    assert dict(chosen.task.settings)["max_length"] == 12


@pytest.mark.parametrize("task", ["multi30k", "ui-translation", "ui-en-de", "g2p", "word-ordering"])
def test_every_task_that_writes_texts_has_the_setting_and_older_runs_keep_their_identity(task):
    assert "max_length" not in dict(compose(task, "lstm").task.settings)
    spec = compose(task, "lstm", settings={"task.max_length": 7})
    assert dict(spec.task.settings)["max_length"] == 7


def test_predictions_and_generated_outputs_end_where_the_task_or_the_command_says(
    repeats, tmp_path
):
    _, record = run_in(tmp_path / "runs", repeats(max_length=3))

    def call(*arguments):
        done = CliRunner().invoke(
            main, [*arguments, "--out", str(tmp_path / "runs")], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done

    ask = ("predict", record.run_id, "--input", "a 8", "--json")
    for more, limit in (((), 3), (("--max-length", "9"), 9)):
        told = json.loads(call(*ask, *more).output)
        cut = told.get("reached_max_length")
        assert cut in (None, limit)
        assert cut is None or len(told["prediction"].split()) == limit
        samples = json.loads(call("generate", record.run_id, "--json", *more).output)["samples"]
        assert all(len(s["prediction"].split()) <= limit for s in samples)
        assert all(s.get("cut off at") in (None, f"{limit} tokens") for s in samples)


def test_a_limit_is_refused_where_outputs_do_not_end_by_themselves(tmp_path):
    settings = {"task.points_min": 4, "task.train_items": 64, "task.valid_items": 8,
                "task.test_items": 8, "architecture.hidden": 4,
                "budget.steps": 1, "budget.validate_every": 1}  # fmt: skip
    _, record = run_in(tmp_path, resolve(compose("sort", "pointer-network", [], settings)))
    assert record.reason is None
    done = CliRunner().invoke(
        main, ["generate", record.run_id, "--max-length", "9", "--out", str(tmp_path)]
    )
    assert done.exit_code == 2
    assert "drop --max-length" in str(done.exception or "") + done.output


def test_rows_without_a_stop_have_reached_the_limit_and_longer_targets_are_counted_without_it():
    lengths = OutputLengths(Port(classes=9, start=1, stop=2, longest=3))
    y = torch.tensor([[5, 5, 5, 2, 0], [5, 5, 5, 5, 2], [5, 2, 0, 0, 0], [5, 5, 5, 5, 5]])
    decoded = torch.tensor([[5, 5, 5], [5, 2, 5], [2, 5, 5], [5, 5, 2]])
    lengths.add(Batch(torch.zeros(4, 1), y, y_len=torch.tensor([4, 5, 2, 5])), decoded)
    assert lengths.shares() == {"reached": 0.25, "longer_targets": 0.5}
    values = OutputLengths(Port(width=1, longest=3))
    values.add(Batch(torch.zeros(4, 1), torch.zeros(4, 3, 1)), torch.zeros(4, 3, 1))
    assert values.shares() == {}
