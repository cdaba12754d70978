"""Encodings of tokens: what files hold is what the model reads; what cannot be is refused."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from gensim.models import KeyedVectors
from support.toys import TOYS, TinyLSTM

from rnnbench.contract import Batch, Moment, Refusal
from rnnbench.data import Subwords
from rnnbench.data.text.word_vectors import sha256_of
from rnnbench.testing.fixtures.toy_tasks import Toy
from rnnbench.training.determinism import seed_everything
from rnnbench.training.dry_run import check
from rnnbench.training.train_step import TrickFold, assemble, training_step
from rnnbench_architectures.lstm import LSTM
from rnnbench_architectures.seq2seq import Seq2Seq
from rnnbench_tasks.char_lm import CharLM
from rnnbench_tasks.ui_en_de import UiEnDe
from rnnbench_tricks.encoding import Encoded, Encoding
from rnnbench_tricks.tied_weights import TiedWeights
from rnnbench_tricks.variational_dropout import VariationalDropout

WORDS = ("", "Licht", "aus", "an", "the", "ein", "über")


IN_FILE = ("aus", "licht", "an", "the", "Haus", "über")  # "ein" is missing, "Licht" is not cased


@dataclass(frozen=True)
class Named(Toy):
    """A toy whose classes are words."""

    def words(self, side):
        return WORDS


LM = Named(carried=True)


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(len(IN_FILE), 6)).astype(np.float32)


@pytest.fixture
def files(tmp_path, vectors):
    """Write the same vectors in every format, all but GloVe's by gensim."""
    keyed = KeyedVectors(6)
    keyed.add_vectors(list(IN_FILE), vectors)
    paths = {name: tmp_path / name for name in ("word2vec-text", "word2vec-binary", "glove")}
    keyed.save_word2vec_format(str(paths["word2vec-text"]), binary=False)
    keyed.save_word2vec_format(str(paths["word2vec-binary"]), binary=True)
    lines = [f"{w} {' '.join(map(repr, v.tolist()))}\n" for w, v in zip(IN_FILE, vectors)]  # noqa: B905
    paths["glove"].write_text("".join(lines), "utf-8")
    return paths


def from_file(path, format="word2vec-text", **settings):
    return Encoding("file", path=str(path), format=format, sha256=sha256_of(path), **settings)


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


def steps(model, task, count=3, lr=0.1):
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for i in range(count):
        optimizer.zero_grad()
        training_step(model, TrickFold(), task.example(i), None, Moment(i, 0.5))
        optimizer.step()


# In a model


def test_missing_words_are_drawn_like_the_others_by_torchs_generator(tmp_path):
    given = np.random.default_rng(0).normal(3.0, 0.01, (3, 400)).astype(np.float32)
    lines = [f"{w} {' '.join(map(str, v))}\n" for w, v in zip(("aus", "an", "the"), given)]  # noqa: B905
    path = tmp_path / "v"
    path.write_text("".join(lines))
    trick = from_file(path, "glove", min_coverage=0.1)
    one, same, other = (built(trick, seed=s).embed.map.vectors for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one[5], other[5])
    assert torch.equal(one[2:5], other[2:5])
    assert float(one[5].mean()) == pytest.approx(3.0, abs=0.01)
    assert float((one[5] - torch.from_numpy(given.mean(0))).std()) == pytest.approx(
        float(given.std(0).mean()), rel=0.3
    )


@pytest.mark.parametrize("width", [6, 9])
def test_frozen_vectors_stay_and_tuned_ones_move(files, width):
    for tuned in (False, True):
        model = built(
            from_file(files["word2vec-text"], tuned=tuned), architecture=TinyLSTM(embedding=width)
        )
        table = model.embed.map
        before, projected = table.vectors.clone(), table.project is not None
        start = table.project.weight.clone() if projected else None
        steps(model, LM)
        assert torch.equal(before, table.vectors) is not tuned
        assert projected is (width != 6)
        if projected:
            assert not torch.equal(start, table.project.weight), "the map is learnt"
        assert "embed.map.vectors" in model.state_dict()


def test_frozen_vectors_are_no_parameters_and_the_check_counts_the_same(files):
    counts = {
        (tuned, width): check(
            TinyLSTM(embedding=width), LM, [from_file(files["word2vec-text"], tuned=tuned)],
            batch=LM.example(),
        ).parameters
        for tuned in (False, True) for width in (6, 9)
    }  # fmt: skip
    for (tuned, width), counted in counts.items():
        model = built(
            from_file(files["word2vec-text"], tuned=tuned), architecture=TinyLSTM(embedding=width)
        )
        assert counted == sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert counts[True, width] - counts[False, width] == 7 * 6
    learned = check(TinyLSTM(embedding=6), LM, batch=LM.example()).parameters
    assert counts[True, 6] == learned
    assert (
        counts[False, 9]
        == check(TinyLSTM(embedding=9), LM, batch=LM.example()).parameters - 7 * 9 + 6 * 9
    )


def test_vectors_of_another_width_go_through_a_linear_map_without_bias(files):
    table = built(from_file(files["glove"], "glove"), architecture=TinyLSTM(embedding=9)).embed.map
    x = torch.tensor([[3, 1], [6, 6]])
    torch.testing.assert_close(table(x), table.vectors[x] @ table.project.weight.T)
    torch.testing.assert_close(table(x), table.weight[x])
    assert table.project.bias is None


def test_one_hot_picks_the_columns_of_the_input_matrix():
    model = built(Encoding("one-hot"), architecture=LSTM(hidden=5, embedding=7)).double()
    x = LM.example().x
    cell = model.backbone
    one_hot = torch.nn.functional.one_hot(x, 7).double()
    torch.testing.assert_close(model.embed(x), one_hot, atol=0, rtol=0)
    torch.testing.assert_close(model(Batch(x, x)).hidden, cell(one_hot)[0], atol=0, rtol=0)
    weight = next(p for n, p in cell.named_parameters() if p.shape[-1] == 7 and p.dim() == 2)
    torch.testing.assert_close(model.embed(x) @ weight.T, weight.T[x], atol=0, rtol=0)
    assert not [n for n, _ in model.named_parameters() if n.startswith("embed")]


def test_one_hot_needs_an_embedding_of_all_classes_and_leaves_the_rest_at_zero():
    assert "Set architecture.embedding=7" in refused(Encoding("one-hot"))
    wide = built(Encoding("one-hot"), architecture=TinyLSTM(embedding=9)).embed.map.vectors
    assert torch.equal(wide, torch.eye(7, 9))


def test_learned_changes_nothing():
    plain, learned = built([]), built(Encoding("learned"))
    assert all(
        torch.equal(a, b)
        for a, b in zip(plain.state_dict().values(), learned.state_dict().values(), strict=True)
    )
    assert type(learned.embed.map) is torch.nn.Embedding


@pytest.mark.parametrize("side", ["source", "target", "both"])
def test_each_side_of_a_translation_is_encoded_by_itself(side):
    for architecture in (LSTM(hidden=8), Seq2Seq(hidden=8)):
        model = built(Encoding("one-hot", side=side), TOYS["translate"], architecture)
        assert isinstance(model.source_embed.map, Encoded) is (side != "target")
        assert isinstance(model.embed.map, Encoded) is (side != "source")
        assert model.embed.map.num_embeddings == 6


# Refusals


def test_a_file_is_named_by_its_content(files):
    path = files["glove"]
    actual = sha256_of(path)
    nameless = Encoding("file", path=str(path), format="glove")
    assert f"Set encoding:sha256={actual}" in refused(nameless)
    named = dataclasses.replace(nameless, sha256=actual)
    check(TinyLSTM(), LM, [named], batch=LM.example())
    path.write_text(path.read_text("utf-8") + "mehr 1 2 3 4 5 6\n", "utf-8")
    said = refused(named)
    assert actual in said
    assert f"Set encoding:sha256={sha256_of(path)}" in said


def test_a_file_that_has_too_few_of_the_words_is_refused_by_the_dry_run(files):
    said = refused(from_file(files["glove"], "glove", min_coverage=0.99))
    assert "'ein'" in said
    assert "''" not in said, "what is no word is not missed"
    tokens = torch.cat([LM.data("train", 0).batch(i, None).x.flatten() for i in range(3)])
    named = tokens[tokens > 0]
    assert f"{float((named != 5).float().mean()):.1%} of the words" in said


def test_a_file_of_other_words_is_refused_even_at_no_coverage(tmp_path):
    path = tmp_path / "v"
    path.write_text("foo 1 2\nbar 3 4\n")
    assert "0.0% of the words" in refused(from_file(path, "glove", min_coverage=0.0))


@pytest.mark.parametrize(
    ("trick", "task", "why"),
    [
        (Encoding("one-hot", tuned=True), LM, "encoding:kind=learned"),
        (Encoding("one-hot", window=3), LM, "does not use window"),
        (Encoding("learned", side="target"), LM, "does not use side"),
        (Encoding("word2vec", path="x", sha256="y"), LM, "does not use path, sha256"),
        (Encoding("file", epochs=9), LM, "does not use epochs"),
        (Encoding("file"), LM, "encoding:path"),
        (Encoding("file", path="nowhere.txt"), LM, "no file nowhere.txt"),
        (Encoding("file", path="x"), TOYS["lm"], "no names"),
        (Encoding("word2vec"), TOYS["classify"], "real values"),
        (Encoding("learned"), TOYS["classify"], "real values"),
        (Encoding("word2vec", side="both"), TOYS["caption"], "side=source of toy is real values"),
        (Encoding("word2vec", side="target"), LM, "no embedding that reads the target"),
        (Encoding("word2vec", side="both"), LM, "no embedding that reads the target"),
    ],
)  # fmt: skip
def test_what_would_be_ignored_or_cannot_be_is_refused(trick, task, why):
    said = refused(trick, task)
    assert why in said
    assert len(said.splitlines()) >= 2


# Beside other tricks


def test_tied_weights_are_refused_in_either_order(files):
    for trick in (Encoding("one-hot"), Encoding(dimensions=7), from_file(files["glove"], "glove")):
        for width in (7, 6):
            architecture = LSTM(hidden=width, embedding=width)
            if trick.kind == "one-hot" and width < 7:
                continue
            for order in ([trick, TiedWeights()], [TiedWeights(), trick]):
                said = refused(order, LM, architecture)
                assert "Drop one of them" in said
                assert "tied-weights" in said
    check(TinyLSTM(), LM, [TiedWeights(), Encoding("learned")], batch=LM.example())


@pytest.mark.parametrize("width", [6, 9])
def test_word_dropout_drops_words_whose_vectors_are_given(files, width):
    tricks = [from_file(files["glove"], "glove"), VariationalDropout(0.0, 0.0, embedding=0.5)]
    model = built(tricks, architecture=TinyLSTM(embedding=width))
    x = torch.arange(7)[None]
    dropped = model.train().embed(x)[0]
    kept = model.eval().embed(x)[0]
    assert kept.shape == (7, width)
    torch.testing.assert_close(kept, model.embed.map(x)[0])
    gone = (dropped == 0).all(-1)
    assert 0 < gone.sum() < 7
    torch.testing.assert_close(dropped[~gone], 2 * kept[~gone])
    assert "list encoding before" in refused(tricks[::-1])


def test_encoding_a_side_twice_is_refused():
    assert "was changed" in refused([Encoding("one-hot"), Encoding()], LM, LSTM(hidden=7))


def test_a_whole_table_cannot_be_drawn_anew():
    table = built(Encoding(dimensions=4)).embed.map
    with pytest.raises(Refusal):
        table.reset_parameters()


# Words of the shipped tasks


def test_every_class_of_the_shipped_text_tasks_has_a_word():
    characters = CharLM()
    words = characters.words("source")
    assert len(words) == characters.source.classes
    x = characters.ask("Fie, my lord!")[0].x[0]
    assert "".join(words[v] for v in x) == "Fie, my lord!"
    assert words[0] == ""

    strings = UiEnDe()
    words = strings.words("target")
    assert len(words) == strings.target.classes
    assert {words[t] for t in (Subwords.PAD, Subwords.UNKNOWN, Subwords.START, Subwords.STOP)} == {
        ""
    }
    assert not any("\u2581" in w or w.startswith("<0x") for w in words)
    x = strings.ask("Turn off the light")[0].x[0]
    assert "".join(words[v] for v in x) == "Turnoffthelight"


def test_subwords_are_looked_up_in_a_file_and_counted(tmp_path):
    task = UiEnDe()
    words = sorted({w.lower() for w in task.words("source") if w})
    path = tmp_path / "v.txt"
    path.write_text("".join(f"{w} {i} 1 2\n" for i, w in enumerate(words)), "utf-8")
    model = built(from_file(path, "glove", min_coverage=1.0), task, Seq2Seq(hidden=3))
    table = model.source_embed.map.vectors
    for at, word in enumerate(task.words("source")):
        if word:
            assert table[at].tolist() == [words.index(word.lower()), 1, 2]
