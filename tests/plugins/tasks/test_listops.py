"""ListOps: its lists, their values and their trees, against a parser written for the test."""

import re

import pytest
import torch

from rnnbench.contract import Prediction
from rnnbench.testing import TaskLaws
from rnnbench_tasks.listops import WORDS, ListOps, parents

SMALL = ListOps(train_items=300, valid_items=50, test_items=60)


class TestListOps(TaskLaws):
    tiny = ListOps(train_items=800, valid_items=80, test_items=90)


def rows(task, split):
    """The words, value and parents of every item."""
    data = task.data(split, 0)
    b = data.batch(torch.arange(len(data)), None)
    for x, length, y, parent in zip(b.x, b.x_len, b.y, b.parent_BT, strict=True):
        words = [WORDS[t] for t in x[:length].tolist()]
        assert not x[length:].any()
        assert (parent[length:] == -1).all()
        yield words, int(y), parent[:length].tolist()


def worked_out(text):
    """The value of a list, by rewriting its innermost lists until a digit is left."""
    inner = re.compile(r"\[(MAX|MIN|MED|SM)((?: \d)+) \]")
    while not text.isdigit():
        text, n = inner.subn(lambda m: str(value(m[1], [*map(int, m[2].split())])), text)
        assert n, text
    return int(text)


def value(operator, numbers):
    ranked = sorted(numbers)
    n = len(ranked)
    return {
        "MAX": ranked[-1],
        "MIN": ranked[0],
        "MED": (ranked[(n - 1) // 2] + ranked[n // 2]) // 2,
        "SM": sum(ranked) % 10,
    }[operator]


def test_every_answer_is_what_its_list_comes_to():
    for split in ("train", "valid", "test"):
        for words, answer, _ in rows(SMALL, split):
            assert worked_out(" ".join(words)) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("[MAX 2 9 [MIN 4 7 ] 0 ]", 9),
        ("[MED 1 4 9 8 ]", 6),  # (4 + 8) / 2
        ("[MED 1 2 4 4 ]", 3),
        ("[MED 1 2 ]", 1),  # 1.5, rounded down
        ("[SM 9 9 [SM 5 6 ] ]", 9),
        ("[MIN 3 [MAX 1 [MED 5 7 9 ] ] ]", 3),
    ],
)
def test_the_four_operators_are_those_of_the_paper(text, answer):
    assert worked_out(text) == answer  # the test's own parser, by examples worked by hand


def test_a_list_hangs_from_its_closing_bracket():
    words = ["[MAX", "2", "9", "[MIN", "4", "7", "]", "0", "]"]
    assert parents([WORDS.index(word) for word in words]) == [8, 8, 8, 6, 6, 6, 8, 8, -1]


def test_children_stand_before_their_parents_and_the_root_is_last():
    for words, _, parent in rows(SMALL, "train"):
        assert parent[-1] == -1
        assert all(t < p < len(words) and words[p] == "]" for t, p in enumerate(parent[:-1]))
        for p in set(parent[:-1]):  # what stands under a bracket: an operator, then arguments
            children = [words[t] for t in range(p) if parent[t] == p]
            assert children[0] in ("[MAX", "[MIN", "[MED", "[SM")
            assert 2 <= len(children) - 1 <= SMALL.max_args
            assert all(child == "]" or child.isdigit() for child in children[1:])


def test_lengths_depths_and_arguments_are_those_asked_for():
    task = ListOps(max_depth=2, max_args=3, nested=0.6, min_length=10, max_length=14,
                   train_items=200, valid_items=1, test_items=1)  # fmt: skip
    depths, lengths = set(), set()
    for words, _, _ in rows(task, "train"):
        opened = [word.startswith("[") - (word == "]") for word in words]
        depths.add(max(sum(opened[: i + 1]) for i in range(len(opened))))
        lengths.add(len(words))
    assert depths == {2}  # 3 arguments alone make no 10 tokens
    assert lengths <= set(range(10, 15))
    assert len(lengths) > 1


def test_no_list_occurs_twice_in_all_splits():
    seen = [tuple(w) for split in ("train", "valid", "test") for w, _, _ in rows(SMALL, split)]
    assert len(set(seen)) == len(seen) == 410


def test_held_out_lists_do_not_depend_on_the_size_of_training():
    more = ListOps(train_items=600, valid_items=50, test_items=60)
    for split in ("valid", "test"):
        assert list(rows(SMALL, split)) == list(rows(more, split))


def test_too_few_different_lists_are_an_error_that_says_what_to_do():
    task = ListOps(max_args=2, max_depth=1, nested=0.0, min_length=4, max_length=4,
                   train_items=500, valid_items=1, test_items=1)  # fmt: skip
    with pytest.raises(ValueError, match=r"gave 400 different lists, and 502 are asked for"):
        task.data("train", 0)
    with pytest.raises(ValueError, match="min_length = 9 is above max_length = 8"):
        ListOps(min_length=9, max_length=8)


def test_the_baseline_is_the_share_of_the_commonest_training_answer():
    task = ListOps()
    train = torch.tensor([y for _, y, _ in rows(task, "train")])
    test = torch.tensor([y for _, y, _ in rows(task, "test")])
    share = float((test == train.mode().values).float().mean())
    assert task.baselines("test") == {"commonest answer": {"accuracy": pytest.approx(share)}}
    assert 0.10 < share < 0.13


def test_a_user_asks_in_words_and_is_answered_with_a_digit():
    batch, answer = SMALL.ask("[SM 3 [MAX 1 8 ] 4]")
    assert " ".join(WORDS[t] for t in batch.x[0].tolist()) == "[SM 3 [MAX 1 8 ] 4 ]"
    assert batch.parent_BT.tolist() == [[7, 7, 5, 5, 5, 7, 7, -1]]
    assert answer(torch.tensor(5)) == "5"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[MAX 1 ten ]", "got 'ten'"),
        ("[MAX 1 2", "each .* needs its ]"),
        ("[MAX 1 2 ] 3", "ends before word 5, '3'"),
        ("1 2 ]", "ends before word 2"),
        ("[MAX ]", "closes a list without arguments"),
        ("", "the words are no list"),
    ],
)
def test_what_is_no_list_is_refused_with_the_place(text, words):
    with pytest.raises(ValueError, match=words):
        SMALL.ask(text)


def test_examples_are_shown_in_words():
    data = SMALL.data("test", 0)
    batch = data.batch(torch.arange(3), None)
    out = torch.nn.functional.one_hot(batch.y, 10).float()
    shown = SMALL.show(batch, Prediction(out, out > 0, out, None))
    assert len(shown) == 3
    for example in shown:
        assert worked_out(example["source"]) == int(example["target"])
        assert example["prediction"] == example["target"]
