"""Word vectors that are learnt from the training split by word2vec."""

import sys
from dataclasses import dataclass

import pytest
import torch
from support.toys import TinyLSTM

from rnnbench.contract import Batch, Port, Refusal
from rnnbench.data.text.word_vectors import learn_vectors
from rnnbench.testing.fixtures.toy_tasks import Rows, Toy
from rnnbench.training.determinism import seed_everything
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble
from rnnbench_tricks import encoding
from rnnbench_tricks.encoding import Encoding

WORDS = ("", "Licht", "aus", "an", "the", "ein", "über")


@dataclass(frozen=True)
class Named(Toy):
    """A toy whose classes are words."""

    def words(self, side):
        return WORDS


LM = Named(carried=True)


def built(trick, task=LM, architecture=None, seed=0):
    seed_everything(seed)
    tricks = [trick] if isinstance(trick, Encoding) else trick
    architecture = architecture or TinyLSTM()
    return assemble(architecture, task, TrickFold(tricks))


def refused(trick, task=LM, architecture=None):
    """The refusal of the dry run on the meta device."""
    tricks = [trick] if isinstance(trick, Encoding) else trick
    with pytest.raises(Refusal) as caught:
        check(architecture or TinyLSTM(), task, tricks, batch=task.example())
    return str(caught.value)


# word2vec


@dataclass(frozen=True)
class Camps(Toy):
    """Sentences of the tokens 0 to 5 or of 6 to 11, padded with 12, which occurs nowhere else."""

    ports: tuple[Port, Port] = (Port(classes=14), Port(classes=14))
    ragged: bool = True

    def data(self, split, seed):
        rng = torch.Generator().manual_seed(5)
        x = torch.randint(0, 6, (400, 12), generator=rng)
        x[::2] += 6
        x_len = torch.randint(6, 13, (400,), generator=rng)
        x[torch.arange(12) >= x_len[:, None]] = 12
        return Rows(
            [Batch(a, a, n, n) for a, n in zip(x.split(100), x_len.split(100), strict=True)]
        )


@pytest.mark.parametrize("algorithm", ["cbow", "skip-gram"])
def test_word2vec_brings_tokens_nearer_that_occur_together(algorithm):
    trick = Encoding(dimensions=8, epochs=30, algorithm=algorithm)
    v = torch.nn.functional.normalize(built(trick, Camps()).embed.map.vectors[:12], dim=-1)
    cosine = v @ v.T
    within = torch.block_diag(torch.ones(6, 6), torch.ones(6, 6)).bool()
    other = ~torch.eye(12).bool()
    assert cosine[within & other].min() > cosine[~within].max() + 0.1


def test_word2vec_never_sees_padding():
    at, _ = encoding._learnt(Camps(), "source", 4, 2, 1, "cbow", 0)
    assert sorted(at.tolist()) == list(range(12))


def test_word2vec_is_the_same_for_the_same_seed_and_learnt_once():
    trick = Encoding(dimensions=8, epochs=2)
    encoding._learnt.cache_clear()
    first = built(trick, Camps()).embed.map.vectors
    again = built(trick, Camps(), TinyLSTM(hidden=9)).embed.map.vectors
    assert encoding._learnt.cache_info().misses == 1
    assert torch.equal(first[:12], again[:12]), "whatever the architecture"
    encoding._learnt.cache_clear()
    assert torch.equal(first, built(trick, Camps()).embed.map.vectors)
    other = built(trick, Camps(), seed=1).embed.map.vectors
    assert not torch.equal(first[:12], other[:12]), "those that occur are not drawn but learnt"


def test_word2vec_reads_all_of_a_sentence_longer_than_gensim_does():
    text = [["a", "b"] * 5001 + ["c", "d"] * 5000]
    options = {"window": 2, "epochs": 3, "algorithm": "cbow", "seed": 0}
    found = learn_vectors(text, 4, **options)
    cut = learn_vectors([text[0][:10000], text[0][10000:20000], text[0][20000:]], 4, **options)
    whole = {w: v.tolist() for w, v in found.items()}
    assert whole == {w: v.tolist() for w, v in cut.items()}


def test_the_dry_run_learns_nothing(monkeypatch):
    def learn(*_, **__):
        raise AssertionError("word2vec was trained in a dry run")

    monkeypatch.setattr(encoding, "learn_vectors", learn)
    encoding._learnt.cache_clear()
    task = Camps()
    trick = Encoding(dimensions=8)
    counted = check(TinyLSTM(), task, [trick], batch=task.example()).parameters
    monkeypatch.undo()
    model = built(trick, task)
    assert counted == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_without_gensim_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    assert "pip install 'rnnbench[vectors]'" in refused(Encoding())


def test_word2vec_says_nothing_on_the_terminal(capfd):
    encoding._learnt.cache_clear()
    built(Encoding(dimensions=4), Camps())
    assert capfd.readouterr() == ("", "")
