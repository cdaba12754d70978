"""User-interface strings in two languages."""

import numpy as np
import pytest
import sacrebleu

from rnnbench.data import DataError, Subwords, fetch
from rnnbench_tasks._interface_strings import fold, is_short, short_pairs
from rnnbench_tasks.ui_en_de import _STRINGS, UiEnDe

SIZES = {"train": 9495, "valid": 768, "test": 1003}


@pytest.fixture(scope="module")
def pairs():
    return short_pairs(fetch(_STRINGS))


def texts(task, split):
    """Source and target texts of a split, as its batches hold them."""
    data, text = task.data(split, 0), task.meter(split).text
    batches = [data.batch(key, None) for key in data.order(256, None)]
    return [
        (text(x), text(y)) for b in batches for x, y in zip(b.x.tolist(), b.y.tolist(), strict=True)
    ]


def test_the_counts_are_as_documented_and_nothing_is_too_long(pairs):
    assert {split: len(rows) for split, rows in pairs[0].items()} == SIZES
    for algorithm in ("bpe", "unigram"):
        task = UiEnDe(subwords=algorithm)
        assert {split: len(task.data(split, 0)) for split in SIZES} == SIZES
        assert task._prepared["left_out"] == dict.fromkeys(SIZES, 0)


def test_splits_share_no_integration_and_no_folded_string(pairs):
    integrations = {split: {i for i, *_ in rows} for split, rows in pairs[0].items()}
    for one, two in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not integrations[one] & integrations[two]
        for side in (1, 2):
            folded = [{fold(row[side]) for row in pairs[0][s]} for s in (one, two)]
            assert not folded[0] & folded[1]
    for rows in pairs[0].values():
        assert len({(fold(e), fold(d)) for _, e, d in rows}) == len(rows)
        assert all(is_short(e) and is_short(d) for _, e, d in rows)


def test_folding_unites_what_differs_in_case_digits_punctuation_and_placeholders():
    assert fold("Port 8080: {host}") == fold("port 443 {name}") == "port 0 0"
    assert fold("Port") != fold("Host")


def test_batches_hold_the_pairs_to_the_letter_and_end_with_stop(pairs):
    task = UiEnDe()
    for split in ("valid", "test"):
        assert sorted(texts(task, split)) == sorted((e, d) for _, e, d in pairs[0][split])
    data = task.data("train", 0)
    b = data.batch(data.order(64, None)[20], None)
    for row, n in zip(b.y.tolist(), b.y_len.tolist(), strict=True):
        assert row[n - 1] == task.target.stop == Subwords.STOP
        assert Subwords.STOP not in row[: n - 1]
        assert row[n:] == [Subwords.PAD] * (len(row) - n)
    assert task.target.start == Subwords.START


def test_the_other_direction_swaps_the_sides():
    forth, back = UiEnDe(), UiEnDe(direction="de-en")
    assert sorted(texts(back, "test")) == sorted((y, x) for x, y in texts(forth, "test"))


def test_subwords_come_from_the_training_part_alone(pairs):
    lines = [side for pair in pairs[0]["train"] for side in pair[1:]]
    model = Subwords.train(lines, 1000, "bpe").model
    assert model == UiEnDe()._prepared["model"].tobytes()


def test_baselines_equal_sacrebleu_on_the_raw_strings(pairs):
    rows = pairs[0]["test"]
    for direction, x, y in (("en-de", 1, 2), ("de-en", 2, 1)):
        found = UiEnDe(direction=direction).baselines("test")
        is_ = [[row[y] for row in rows]]
        commonest = pairs[1][direction[-2:]]
        for name, says in (
            ("copy the source", [row[x] for row in rows]),
            ("commonest target", [commonest] * len(rows)),
        ):
            assert found[name]["bleu"] == pytest.approx(sacrebleu.corpus_bleu(says, is_).score)
            assert found[name]["chrf"] == pytest.approx(sacrebleu.corpus_chrf(says, is_).score)


def test_a_length_limit_leaves_pairs_out_of_every_split_and_counts_them():
    task = UiEnDe(max_tokens=8)
    for split, size in SIZES.items():
        data = task.data(split, 0)
        assert len(data) + task._prepared["left_out"][split] == size
        assert np.diff(data.y[1]).max() == 9  # and the stop token
    with pytest.raises(DataError, match=r"raise max_tokens"):
        UiEnDe(max_tokens=1, vocabulary=400).data("valid", 0)


def test_a_vocabulary_below_the_bytes_is_refused():
    with pytest.raises(ValueError, match="vocabulary"):
        UiEnDe(vocabulary=100)
