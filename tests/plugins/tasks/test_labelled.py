"""Texts with labels: counts, trees, chunks and correlations, against worked examples."""

import numpy as np
import pytest
import torch
from scipy import stats
from support.real_data import here

from rnnbench.contract import Batch, Prediction
from rnnbench.data import fetch
from rnnbench.metrics import Chunks, Relatedness, chunks
from rnnbench.testing import TaskLaws
from rnnbench_tasks.conll2000 import Conll2000, read_sentences
from rnnbench_tasks.sentence_polarity import SentencePolarity
from rnnbench_tasks.sick import Sick
from rnnbench_tasks.sst import SST, _nodes, read_trees
from rnnbench_tasks.trec import Trec

SPLITS = ("train", "valid", "test")


class Real(TaskLaws):
    @pytest.fixture(autouse=True)
    def _data(self):
        here(self.tiny)


class TestTrec(Real):
    tiny = Trec(**Trec.tiny)


class TestSentencePolarity(Real):
    tiny = SentencePolarity()


class TestSST(Real):
    tiny = SST()


class TestSick(Real):
    tiny = Sick()


class TestConll2000(Real):
    tiny = Conll2000()


del Real  # it has no instance of its own


def sizes(task):
    return tuple(len(here(task).data(split, 0)) for split in SPLITS)


def test_the_counts_are_those_of_the_papers():
    assert sizes(SST()) == (8544, 1101, 2210)
    assert sizes(SST(classes="binary")) == (6920, 872, 1821)
    assert sizes(Sick()) == (4439, 495, 4906)
    train, valid, test = sizes(Trec())
    assert (train + valid, test) == (5452, 500)
    assert len(Trec().labels) == 6
    assert len(Trec(classes="fine").labels) == 50
    train, valid, test = sizes(Conll2000())
    assert (train + valid, test) == (8936, 2012)
    assert len(Conll2000().tags) == 23
    task = SentencePolarity()
    assert sum(sizes(task)) == 2 * 5331
    assert sum(int(task.answers(split).sum()) for split in SPLITS) == 5331


def test_the_ten_folds_of_sentence_polarity_share_out_the_sentences():
    here(SentencePolarity())
    tests = [SentencePolarity(fold=k) for k in (0, 1)]
    assert len(tests[1].data("test", 0)) == len(tests[0].data("valid", 0))


def test_distinct_leaves_out_of_trec_what_the_test_has():
    folder = fetch(here(Trec()).sources()[0])
    whole, few = (Trec(distinct=d).corpus(folder) for d in (False, True))
    known = {tuple(item.words) for item in whole["test"]}
    for split in ("train", "valid"):
        assert few[split] == [i for i in whole[split] if tuple(i.words) not in known]
    assert len(few["train"]) < len(whole["train"])


# ---------------------------------------------------------------------------------------- trees


def test_a_tree_is_laid_out_children_first_and_the_root_last():
    (tree,) = read_trees("(3 (2 (2 A) (1 bad)) (4 (3 good) (2 film)))\n")
    item = SST()._item(tree)
    assert item.words == ["A", "bad", None, "good", "film", None, None]
    assert item.parents == [2, 2, 6, 5, 5, 6, -1]
    assert item.answer == "positive"
    flat = SST(layout="flat")._item(tree)
    assert flat.words == ["A", "bad", "good", "film"]
    assert flat.parents == ()
    assert SST(classes="binary")._item(tree).answer == "positive"


@pytest.mark.parametrize(
    "text", ["word", "(2 a", "(2 a))", "(7 a)", "(2)", "(2 a b)", "(2 a) (2 b)"]
)
def test_what_is_no_tree_is_refused_with_its_line(text):
    with pytest.raises(ValueError, match="line 2 is no tree"):
        read_trees(f"(2 fine)\n{text}\n")


def test_trees_in_a_batch_are_those_of_the_file():
    task = here(SST())
    data = task.data("valid", 0)
    folder = fetch(task.sources()[0])
    trees = [task._item(t) for t in read_trees((folder / "trees/dev.txt").read_text("utf-8"))]
    b = data.batch(np.array([5, 900]), None)
    for row, number in enumerate((5, 900)):
        n = int(b.x_len[row])
        assert b.parent_BT[row, :n].tolist() == list(trees[number].parents)
        assert (b.parent_BT[row, n:] == -1).all()
        assert task.encode(trees[number].words) == b.x[row, :n].tolist()
        assert task.labels[int(b.y[row])] == trees[number].answer
    batch, told = task.ask("(2 (3 good) (2 film))")
    assert batch.parent_BT.tolist() == [[2, 2, -1]]
    assert told(torch.tensor(4)) == "very positive"
    with pytest.raises(ValueError, match="reads a tree"):
        task.ask("a good film")


def test_phrases_are_every_node_of_the_training_trees():
    (tree,) = read_trees("(3 (2 (2 A) (1 bad)) (4 (3 good) (2 film)))")
    assert [node.label for node in _nodes(tree)] == [3, 2, 2, 1, 4, 3, 2]
    assert [SST()._item(node).answer for node in _nodes(tree)][-2:] == ["positive", "neutral"]
    folder = fetch(here(SST()).sources()[0])
    trees = read_trees((folder / "trees/train.txt").read_text("utf-8"))
    assert sum(1 for tree in trees for _ in _nodes(tree)) == 318_582


# --------------------------------------------------------------------------------------- chunks


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("B-NP I-NP O B-VP", {(0, 2, "NP"), (3, 4, "VP")}),
        ("B-NP B-NP I-NP", {(0, 1, "NP"), (1, 3, "NP")}),
        ("O I-NP I-NP", {(1, 3, "NP")}),  # an inside without a beginning begins
        ("B-NP I-VP I-NP", {(0, 1, "NP"), (1, 2, "VP"), (2, 3, "NP")}),
        ("O O", set()),
        ("I-NP", {(0, 1, "NP")}),
    ],
)
def test_chunks_begin_and_end_as_conlleval_has_it(tags, found):
    assert chunks(tags.split()) == found


def test_f1_of_an_example_worked_by_hand():
    tags = ["O", "B-NP", "I-NP", "B-VP"]
    meter = Chunks(tags)
    y = torch.tensor([[1, 2, 0, 3], [1, 3, 0, 0]])
    guess = torch.tensor([[1, 2, 0, 1], [1, 2, 2, 2]])
    out = torch.nn.functional.one_hot(guess, 4).float()
    batch = Batch(y, y, x_len=torch.tensor([4, 2]), y_len=torch.tensor([4, 2]))
    meter.update(batch, Prediction(y.float(), y >= 0, out, None))
    # There: NP 0-2, VP 3-4 | NP 0-1, VP 1-2. Said: NP 0-2, NP 3-4 | NP 0-2. One agrees.
    assert meter.compute() == pytest.approx({"f1": 2 * 1 / (3 + 4), "accuracy": 4 / 6})
    empty = Chunks(tags)
    empty.add(["O"], ["O"])
    assert empty.compute() == {"f1": 0.0, "accuracy": 1.0}


def test_the_shared_task_s_baseline_has_its_published_f1():
    """77.07 in the paper, counted on all of training; a tenth less of it changes little."""
    task = here(Conll2000(reads="pos"))
    found = task.baselines("test")["commonest tag of the part of speech"]
    assert found["f1"] == pytest.approx(0.7707, abs=5e-4)
    assert len(read_sentences(fetch(task.sources()[0]), "test")) == 2012


def test_a_sentence_can_be_asked_and_shown():
    task = here(Conll2000())
    data = task.data("valid", 0)
    b = data.batch(data.order(4, None)[2], None)
    out = torch.nn.functional.one_hot(b.y, task.target.classes).float()
    for example in task.show(b, Prediction(b.y.float(), b.y >= 0, out, None)):
        assert example["target"] == example["prediction"]
        assert len(example["target"].split()) == len(example["source"].split())
    batch, told = task.ask("He reckons the deficit")
    assert batch.x.shape == (1, 4)
    assert told(torch.zeros(4, dtype=torch.long)).split() == [task.tags[0]] * 4


# --------------------------------------------------------------------------------------- values


def test_correlations_agree_with_scipy_and_are_0_of_a_constant():
    draw = np.random.RandomState(0)
    guess, value = draw.randn(50), draw.randint(1, 6, 50).astype(float)
    meter = Relatedness()
    y = torch.tensor(value)[:, None]
    mask = torch.ones_like(y, dtype=torch.bool)
    mask[0] = False
    meter.update(Batch(y, y), Prediction(y, mask, torch.tensor(guess)[:, None], None))
    assert meter.compute() == pytest.approx(
        {
            "pearson": stats.pearsonr(guess[1:], value[1:])[0],
            "spearman": stats.spearmanr(guess[1:], value[1:])[0],
            "mse": np.mean((guess[1:] - value[1:]) ** 2),
        }
    )
    baseline = here(Sick()).baselines("test")["mean"]
    assert baseline["pearson"] == baseline["spearman"] == 0
    assert baseline["mse"] == pytest.approx(1.0188, abs=1e-4)


def test_two_sentences_are_one_row_with_no_word_between_them():
    task = here(Sick())
    batch, told = task.ask("A dog is running\nA cat is sleeping\n")
    words = [task.vocabulary.words[t] for t in batch.x[0].tolist()]
    assert words == ["A", "dog", "is", "running", "", "A", "cat", "is", "sleeping"]
    assert told(torch.tensor([3.456])) == "3.46"
    with pytest.raises(ValueError, match="two sentences on two lines"):
        task.ask("one")
