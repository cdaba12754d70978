"""Language modelling: the field's corpora to the token, its conventions, and text of one's own."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnbench.contract import Prediction
from rnnbench.data import status
from rnnbench.registry.registry import schema
from rnnbench.testing import TaskLaws
from rnnbench_tasks.enwik8 import Enwik8
from rnnbench_tasks.ptb import PTB
from rnnbench_tasks.ptb_char import PTBChar
from rnnbench_tasks.text8 import Text8
from rnnbench_tasks.text_lm import TextLM
from rnnbench_tasks.tiny_shakespeare import TinyShakespeare
from rnnbench_tasks.wikitext_2 import WikiText2

COUNTS = {  # train, valid, test, vocabulary: as the field counts them
    PTB: (929_589, 73_760, 82_430, 10_000),
    PTBChar: (5_017_482, 393_042, 442_423, 50),
    WikiText2: (2_088_628, 217_646, 245_569, 33_278),
    TinyShakespeare: (1_003_854, 55_770, 55_770, 65),
    Text8: (90_000_000, 5_000_000, 5_000_000, 27),
    Enwik8: (90_000_000, 5_000_000, 5_000_000, 256),
}
SPLITS = ("train", "valid", "test")
each = pytest.mark.parametrize("make", COUNTS, ids=lambda t: t.name)


def here(task):
    """The task, where its data are; else the test is skipped."""
    for source in task.sources():
        if status(source).state != "present":
            pytest.skip(f"{source.name} is not here: rnnbench data fetch {task.name}")
    return task


@pytest.fixture
def text(tmp_path, monkeypatch):
    """Three invented texts of words with a pattern, whose rare ones differ; a cache of its own."""
    monkeypatch.setenv("RNNBENCH_DATA", str(tmp_path / "cache"))
    rng = np.random.default_rng(3)
    for split, lines in (("train", 400), ("valid", 60), ("test", 60)):
        rows = (
            f"the {rng.integers(5)} small {['cat', 'dog', 'bird'][rng.integers(3)]}s sat down"
            + " again" * int(rng.integers(3))
            for _ in range(lines)
        )
        (tmp_path / f"{split}.txt").write_text("\n".join(rows) + f"\n{split} ends\n")
    return {split: str(tmp_path / f"{split}.txt") for split in SPLITS}


def evaluated(task, split, nats):
    """The task's figures for a model with so many nats on each token, and how many it counted."""
    data, meter, rows = task.data(split, 0), task.meter(split), set()
    for key in data.order(task.eval_batch, None):
        b = data.batch(key, None)
        rows.add(len(b.x))
        steps = torch.arange(b.y.shape[1])
        mask = torch.ones_like(b.y).bool() if b.y_len is None else steps < b.y_len[:, None]
        meter.update(b, Prediction(mask * nats, mask, b.y, None))
    return meter.compute(), meter.count, rows


@each
def test_the_counts_are_the_fields_to_the_token(make):
    task = here(make())
    *sizes, classes = COUNTS[make]
    assert [len(task._corpus[split]) for split in SPLITS] == sizes
    assert task.source.classes == task.target.classes == classes
    highest = max(int(task._corpus[split][:1_000_000].max()) for split in SPLITS)
    assert highest < classes


@each
def test_evaluation_predicts_every_token_but_the_first_in_the_stated_rows(make):
    task = here(make())
    figures, count, rows = evaluated(task, "test", 2.0)
    assert count == COUNTS[make][2] - 1
    assert rows == {task.test_rows}
    for name, value in figures.items():
        assert value == pytest.approx({"perplexity": math.exp(2)}.get(name, 2 / math.log(2)))


def test_kneser_ney_5_grams_on_the_penn_treebank_are_those_of_the_literature():
    found = here(PTB()).baselines("test")
    assert found["5-gram, Kneser-Ney"]["perplexity"] == pytest.approx(141.2, abs=0.5)
    assert found["uniform"]["perplexity"] == pytest.approx(10_000)
    assert found["unigram, add-one"]["perplexity"] == pytest.approx(639.8, abs=0.1)
    assert found["bigram, add-one"]["perplexity"] == pytest.approx(824.0, abs=0.1)


def test_the_treebank_is_read_as_its_lines_are():
    task = here(PTB())
    symbols = task._symbols
    assert symbols.symbols[:3] == ("the", "<unk>", "<eos>")
    first = symbols.decode(task._corpus["valid"][:14].tolist())
    assert first == "consumers may want to move their telephones a little closer to the tv set"[
        : len(first)
    ] or first.startswith("consumers may want to move")
    # one end-of-sentence symbol for each of the test file's 3,761 lines
    assert int((task._corpus["test"] == symbols.symbols.index("<eos>")).sum()) == 3761
    assert task.words("source")[2] == ""


# ------------------------------------------------------------------------------- one's own text


@pytest.mark.parametrize("unit", ["word", "character", "byte", "subword"])
def test_perplexity_is_of_tokens_and_bits_are_of_characters(text, unit):
    more = {"vocabulary": 300} if unit == "subword" else {}
    task = TextLM(**text, unit=unit, length=7, **more)
    figures, count, rows = evaluated(task, "test", 1.5)
    tokens, characters = len(task._corpus["test"]), task._corpus["characters"]["test"]
    assert count == tokens - 1
    assert rows == {10}
    assert characters == len(Path(text["test"]).read_text())
    assert figures["perplexity"] == pytest.approx(math.exp(1.5))
    assert figures["bits_per_char"] == pytest.approx(1.5 / math.log(2) * tokens / characters)
    baselines = task.baselines("test")
    names = {"uniform", "unigram, add-one", "bigram, add-one"}
    assert set(baselines) == names | ({"5-gram, Kneser-Ney"} if unit == "word" else set())
    assert all(set(values) == {"perplexity", "bits_per_char"} for values in baselines.values())
    assert baselines["uniform"]["perplexity"] == pytest.approx(task.source.classes)


@pytest.mark.parametrize("unit", ["word", "character", "byte", "subword"])
def test_a_prompt_is_read_and_what_follows_is_written(text, unit):
    more = {"vocabulary": 300} if unit == "subword" else {}
    task = TextLM(**text, unit=unit, **more)
    batch, say = task.ask("the small cats sat")
    assert batch.x.shape[0] == 1
    assert say(batch.x[0]) == "the small cats sat"
    with pytest.raises(ValueError, match="at least one token"):
        task.ask("")


def test_what_a_prompt_has_and_the_vocabulary_lacks_is_unknown(text):
    task = TextLM(**text)
    batch, say = task.ask("the zebra")
    assert say(batch.x[0]) == "the <unk>"
    assert len(task.words("source")) == task.source.classes
    assert {"", "the", "small"} <= set(task.words("source"))


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"valid": "x"}, "both task.valid and task.test"),
        ({"valid": "x", "test": "y", "test_share": 0.2}, "no shares are used"),
        ({"valid_share": 0.6, "test_share": 0.5}, "their sum below 1"),
        ({"test_share": 0.0}, "both shares are above 0"),
        ({"unit": "byte", "min_count": 2}, "min_count acts on words"),
        ({"unit": "byte", "encoding": "latin-1"}, "no encoding"),
        ({"unit": "subword", "vocabulary": 100}, "260 at least"),
        ({"unit": "character", "subwords": "unigram"}, "acts where unit=subword"),
        ({"vocabulary": 1}, "nothing to predict"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(settings, wrong):
    with pytest.raises(ValueError, match=wrong):
        TextLM(train="t", **settings)


def test_its_path_is_required_and_the_other_tasks_need_nothing():
    assert [f.name for f in schema("tasks", "text-lm").fields.values() if f.required] == ["train"]
    for make in COUNTS:
        assert not any(f.required for f in schema("tasks", make.name).fields.values())


class TestTextLM(TaskLaws):
    tiny = TextLM(**TextLM.tiny)


def test_the_rows_of_evaluation_are_settings_and_none_is_capped_in_silence(text):
    task = TextLM(**text, eval_batch=4, test_rows=2)
    assert evaluated(task, "valid", 1.0)[2] == {4}
    assert evaluated(task, "test", 1.0)[2] == {2}
    with pytest.raises(ValueError, match="test_rows=5 is above eval_batch=4"):
        TextLM(**text, eval_batch=4, test_rows=5)
