"""Word ordering: the bag holds what the string holds, in no order."""

import pytest
import torch

from rnnbench.data import DataError, Subwords
from rnnbench.testing import TaskLaws
from rnnbench_tasks.ui_en_de import UiEnDe
from rnnbench_tasks.word_ordering import WordOrdering, counts


class TestWordOrdering(TaskLaws):
    tiny = WordOrdering()


def test_a_bag_counts_subwords_and_neither_stop_nor_padding():
    stop, pad = Subwords.STOP, Subwords.PAD
    bag = counts(torch.tensor([[7, 5, 7, stop], [6, stop, pad, pad]]), 8)
    assert bag.tolist() == [[0, 0, 0, 0, 0, 1, 0, 2], [0, 0, 0, 0, 0, 0, 1, 0]]


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_x_is_the_bag_of_y_and_strings_are_those_of_ui_en_de(split):
    task = WordOrdering()
    data = task.data(split, 0)
    known = {x for x, _ in UiEnDe().texts(split)}
    batch = data.batch(data.order(64, None)[0], None)
    for x, y, n in zip(batch.x, batch.y.tolist(), batch.y_len.tolist(), strict=True):
        assert y[n - 1] == Subwords.STOP
        every = torch.arange(len(x)).repeat_interleave(x.long()).tolist()
        assert sorted(y[: n - 1]) == every
        text = task._subwords.decode(y[: n - 1])
        assert len(text.split()) > 1
        assert text in known


def test_the_vocabularys_order_shares_words_with_the_string_and_is_far_from_it():
    found = WordOrdering().baselines("test")
    assert found["commonest string"]["bleu"] < found["vocabulary order"]["bleu"] < 50
    assert found["vocabulary order"]["chrf"] > 2 * found["commonest string"]["chrf"]


def test_a_user_gives_words_in_any_order():
    task = WordOrdering()
    (one, answer), (other, _) = task.ask("off turn the light"), task.ask("turn  off light the")
    assert torch.equal(one.x, other.x)
    tokens = [*task._subwords.encode("turn off the light"), Subwords.STOP]
    assert answer(torch.tensor(tokens)) == "turn off the light"
    with pytest.raises(ValueError, match="given none"):
        task.ask(" ")


def test_a_limit_that_no_string_keeps_is_refused():
    with pytest.raises(DataError, match="raise max_tokens"):
        WordOrdering(vocabulary=400, max_tokens=2).data("test", 0)
