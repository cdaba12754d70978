"""Grapheme to phoneme: the dictionary, its split, and error rates against several references."""

import pytest
import torch
from torchmetrics.functional.text import word_error_rate

from rnnbench.contract import Batch, Prediction
from rnnbench.metrics import ErrorRates, edit_distance
from rnnbench.testing import TaskLaws
from rnnbench_tasks.g2p import G2P, _split_of, read_dictionary

SPLITS = ("train", "valid", "test")


class TestG2P(TaskLaws):
    tiny = G2P(**G2P.tiny)


def test_the_dictionary_is_read_with_variants_comments_and_stress():
    text = "read R EH1 D\nread(2) R IY1 D\nread(3) R EH2 D # past\na.m. EY2 EH1 M\n'em AH0 M\n"
    assert read_dictionary(text, stress=False) == {"read": ["R EH D", "R IY D"], "'em": ["AH M"]}
    assert read_dictionary(text, stress=True)["read"] == ["R EH1 D", "R IY1 D", "R EH2 D"]


def test_the_counts_are_as_documented_and_each_word_is_in_one_split():
    task = G2P()
    words = {split: [word for word, _ in task._pairs(split)] for split in SPLITS}
    assert {split: len(set(found)) for split, found in words.items()} == {
        "train": 112419,
        "valid": 6161,
        "test": 6346,
    }
    assert {split: len(task.data(split, 0)) for split in SPLITS} == {
        "train": 120261,
        "valid": 6161,
        "test": 6346,
    }
    assert task.target.classes == 4 + 39
    assert task.source.classes == 4 + 27
    assert not set(words["train"]) & (set(words["valid"]) | set(words["test"]))
    assert all(_split_of(word) == split for split in SPLITS for word in words[split])


def test_possessives_are_in_the_split_of_their_word():
    assert _split_of("aaron's") == _split_of("aaron")


def test_training_words_are_a_fixed_choice_and_keep_all_their_pronunciations():
    few, whole = (G2P(train_words=n)._pairs("train") for n in (1000, 0))
    chosen = {word for word, _ in few}
    assert len(chosen) == 1000
    assert sorted(few) == sorted(pair for pair in whole if pair[0] in chosen)
    assert len({word[0] for word in chosen}) > 20


def test_batches_spell_words_and_end_with_stop():
    task = G2P(train_words=1000)
    data = task.data("test", 0)
    b = data.batch(data.order(16, None)[3], None)
    shown = task.show(b, Prediction(b.y, b.y > 0, b.y, b.y))
    for row, example in enumerate(shown):
        assert example["prediction"] in example["target"].split(" / ")
        assert b.y[row, b.y_len[row] - 1] == task.target.stop
    batch, told = task.ask("Hello")
    assert told(torch.tensor([*task._sounds.encode("HH AH L OW"), 3, 9])) == "HH AH L OW"
    assert batch.x.shape == (1, 5)
    with pytest.raises(ValueError, match="letters a to z"):
        task.ask("naïve")


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("abc", "abc", 0), ("abcd", "acbd", 2)],
)
def test_edit_distance_of_examples_worked_by_hand(one, other, distance):
    assert edit_distance([*map(ord, one)], [*map(ord, other)]) == distance
    assert edit_distance([*map(ord, other)], [*map(ord, one)]) == distance


def test_rates_with_one_reference_agree_with_torchmetrics():
    draw = torch.Generator().manual_seed(0)
    pairs = [
        tuple(
            torch.randint(4, 9, (int(n),), generator=draw).tolist()
            for n in torch.randint(1, 9, (2,), generator=draw)
        )
        for _ in range(40)
    ]
    meter = ErrorRates(lambda x: [], stop=3)
    for guess, gold in pairs:
        meter.add(guess, [gold])
    said, meant = ([" ".join(map(str, p[i])) for p in pairs] for i in range(2))
    assert meter.compute()["phoneme_error_rate"] == pytest.approx(
        float(word_error_rate(said, meant))
    )
    wrong = sum(a != b for a, b in pairs) / len(pairs)
    assert meter.compute()["word_error_rate"] == pytest.approx(wrong)


def test_the_nearest_of_several_references_counts_with_its_own_length():
    references = {(4, 5): [[6, 7, 8], [6, 7]], (5,): [[8]]}
    meter = ErrorRates(lambda x: references[tuple(x)], stop=3)
    x = torch.tensor([[4, 5], [5, 0]])
    decoded = torch.tensor([[6, 7, 3, 9], [9, 3, 3, 3]])
    batch = Batch(x, x, x_len=torch.tensor([2, 1]))
    meter.update(batch, Prediction(x, x > 0, x, decoded))
    # The first word equals its second reference (0 of 2); the second has 1 error of 1.
    assert meter.compute() == {"phoneme_error_rate": 1 / 3, "word_error_rate": 1 / 2}
    with pytest.raises(ValueError, match="decoded"):
        meter.update(batch, Prediction(x, x > 0, x, None))
