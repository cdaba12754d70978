"""Shakespeare by characters."""

import itertools
import math
from collections import Counter

import pytest
import torch

from rnnbench.contract import Prediction
from rnnbench.data import Characters, fetch
from rnnbench_tasks.char_lm import _PLAYS, CharLM, plain

SIZES = {"train": 4_516_496, "valid": 228_968, "test": 252_711}


@pytest.fixture(scope="module")
def task():
    return CharLM(valid_characters=0)


def text_of(task, split):
    return task._symbols.decode(task._tokens(split).tolist())


def test_the_counts_are_as_documented(task):
    assert {split: len(task._tokens(split)) for split in SIZES} == SIZES
    assert len(CharLM()._tokens("valid")) == 50_000
    assert len(CharLM(characters=1000)._tokens("train")) == 1000
    assert task.source == task.target
    assert task.source.classes == 81


def test_splits_are_whole_plays(task):
    titles = {"valid": ("Twelfth Night", "Julius Caesar"), "test": ("Henry V", "Macbeth")}
    texts = {split: text_of(task, split) for split in SIZES}
    plays = {p.stem: plain(p.read_text("utf-8")) for p in fetch(_PLAYS).rglob("*.md")}
    assert len(plays) == 38
    for name, play in plays.items():
        homes = [split for split, text in texts.items() if play in text]
        title = play.splitlines()[0]
        want = [split for split, held in titles.items() if title in held] or ["train"]
        assert homes == want, name


def test_no_held_out_character_is_unknown_here_and_one_would_be_counted(task):
    for split in ("valid", "test"):
        assert (task._tokens(split) == Characters.UNKNOWN).sum() == 0
    assert task._symbols.encode("a€")[1] == Characters.UNKNOWN


def test_markup_becomes_plain_text():
    markdown = (
        "# Hamlet\n\n## ACT I\n\n### SCENE I. Elsinore.\n\n_Enter HAMLET\nand others_\n\n"
        "**HAMLET**  \n_\\[Aside]_  \nA little more than kin, &amp; less\\--  \nthan kind.\n\n"
        "*Exit.*\n\n**PAGE**  \n[Within]_  \nWho's there?\n\n_Exeunt_\n"
    )
    assert plain(markdown) == (
        "Hamlet\n\nACT I\n\nSCENE I. Elsinore.\n\n[Enter HAMLET\nand others]\n\n"
        "HAMLET:\n[Aside]\nA little more than kin, & less--\nthan kind.\n\n"
        "[Exit.]\n\nPAGE:\n[Within]\nWho's there?\n\n[Exeunt]"
    )


def test_no_markup_is_left(task):
    for split in SIZES:
        assert not set("*_#\\") & set(text_of(task, split))


def test_baselines_equal_those_counted_by_another_program():
    task = CharLM(characters=20_000, valid_characters=5000)
    train, text = text_of(task, "train"), text_of(task, "valid")
    classes = task.source.classes
    single, pair = Counter(train), Counter(itertools.pairwise(train))
    first = Counter(train[:-1])
    bits = {"unigram": 0.0, "bigram": 0.0}
    for before, c in itertools.pairwise(text):
        bits["unigram"] -= math.log2((single[c] + 1) / (len(train) + classes))
        bits["bigram"] -= math.log2((pair[before, c] + 1) / (first[before] + classes))
    found = task.baselines("valid")
    for name, total in bits.items():
        values = found[f"{name}, add-one"]
        assert values["bits_per_char"] == pytest.approx(total / (len(text) - 1))
        assert values["perplexity"] == pytest.approx(2 ** values["bits_per_char"])


def test_evaluation_counts_every_character_but_the_first(task):
    data, meter = task.data("test", 0), task.meter("test")
    for key in data.order(task.eval_batch, None):
        b = data.batch(key, None)
        steps = torch.arange(b.y.shape[1])
        mask = torch.ones_like(b.y).bool() if b.y_len is None else steps < b.y_len[:, None]
        meter.update(b, Prediction(mask * 2.0, mask, b.y, None))
    assert meter.count == SIZES["test"] - 1
    assert meter.compute()["bits_per_char"] == pytest.approx(2 / math.log(2))
