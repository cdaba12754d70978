"""Translation: counts of Multi30K, tokens of five kinds, one's own files, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
import torch
from plugins.tasks.number_pairs import write_number_pairs
from support.real_data import here

from rnnbench.benchmarks.padding import row_lengths, waste
from rnnbench.contract import Batch, Prediction
from rnnbench.data import DataError, Pairs, Subwords, ragged
from rnnbench.data.text.tokenisers import Symbols, learn, read
from rnnbench.metrics import Translation
from rnnbench.testing import TaskLaws
from rnnbench_tasks.multi30k import Multi30K
from rnnbench_tasks.parallel_text import ParallelText
from rnnbench_tasks.ui_en_de import UiEnDe
from rnnbench_tasks.ui_translation import UiTranslation

SPLITS = ("train", "valid", "test")


KINDS = ("bpe", "unigram", "moses", "words", "characters")


TESTS = {"2016_flickr": 1000, "2017_flickr": 1000, "2017_mscoco": 461, "2018_flickr": 1071}


class TestMulti30K(TaskLaws):
    tiny = Multi30K(**Multi30K.tiny)

    @pytest.fixture(autouse=True)
    def _data(self):
        here(self.tiny)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The number words as aligned files, in the working directory."""
    monkeypatch.chdir(tmp_path)
    return write_number_pairs(tmp_path)


def pairs_of(task, split):
    """Source and target texts of a split, from the tokens of its batches."""
    source, target = (task.tokeniser(side).decode for side in ("source", "target"))
    data = task.data(split, 0)
    batches = [data.batch(key, None) for key in data.order(64, None)]
    return sorted(
        (source(x), target(y))
        for b in batches
        for x, y in zip(b.x.tolist(), b.y.tolist(), strict=True)
    )


# ------------------------------------------------------------------------------------- Multi30K


@pytest.mark.parametrize(("test", "size"), TESTS.items())
def test_multi30k_has_the_counts_of_its_papers(test, size):
    task = here(Multi30K(direction="fr-de", test=test))
    counts = {split: len(pairs) for split, pairs in task.corpus(*_folders(task)).items()}
    assert counts == {"train": 29000, "valid": 1014, "test": size}
    if test == "2017_mscoco":
        assert {split: len(task.data(split, 0)) for split in SPLITS} == counts


def test_multi30k_directions_swap_the_sides_and_keep_the_lines_together():
    forth = here(Multi30K(direction="en-cs", tokens="words", train_pairs=50))
    back = here(Multi30K(direction="cs-en", tokens="words", train_pairs=50))
    assert sorted(back.texts("test")) == sorted((y, x) for x, y in forth.texts("test"))
    folder = forth.corpus(*_folders(forth))
    assert folder["train"][0][0].startswith("Two young, White males")
    assert folder["train"][0][1].startswith("Dva mladí")


def _folders(task):
    from rnnbench.data import fetch

    return [fetch(source) for source in task.sources()]


def test_czech_without_a_test_of_that_year_is_refused():
    with pytest.raises(ValueError, match="no Czech in test=2017_flickr"):
        Multi30K(direction="en-cs", test="2017_flickr")


def test_padding_of_multi30k_and_of_interface_strings_is_at_most_a_tenth():
    for task in (Multi30K(), UiTranslation()):
        lengths = row_lengths(here(task).data("train", 0), task.recommended["optimizer.batch"])
        assert 0 < waste(lengths) <= 0.1, task.name
        assert sum(map(len, lengths)) == len(task.data("train", 0))


# --------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize("tokens", KINDS)
def test_every_kind_of_token_is_learnt_on_training_alone_and_told_back(tokens, files):
    size = 320 if tokens in ("bpe", "unigram") else 2000
    task = ParallelText(source_file="a.tsv", tokens=tokens, vocabulary=size, min_count=1)
    assert task.source.classes == len(task.tokeniser("source"))
    lines = task.texts("train")
    learnt = learn(tokens, list(zip(*lines, strict=True)), ("en", "de"), size, 1)
    for i, side in enumerate(("source", "target")):
        same = read(tokens, learnt[i], ("en", "de")[i])
        assert same.words == task.tokeniser(side).words
    if tokens in ("bpe", "unigram", "characters"):
        assert pairs_of(task, "test") == sorted(task.texts("test"))
    assert pairs_of(task, "train") == sorted(lines)
    assert [w for w in task.words("source") if "hundred" in w] or tokens == "characters"


def test_moses_tokens_part_punctuation_from_words_and_join_them_again(files):
    (Path.cwd() / "b.tsv").write_text(
        "".join(f'He said: "It\'s number {i}."\tEr sagte: „Nummer {i}.“\n' for i in range(60)),
        "utf-8",
    )
    task = ParallelText(source_file="b.tsv", tokens="moses", min_count=1)
    tokens = task.tokeniser("source").encode("He said: \"It's")
    assert [task.words("source")[t] for t in tokens] == ["He", "said", ":", '"', "It", "'s"]
    assert set(pairs_of(task, "train")) == set(task.texts("train"))


def test_a_language_without_moses_rules_is_refused_not_taken_for_english(files):
    task = ParallelText(source_file="a.tsv", tokens="moses", target_language="xx")
    with pytest.raises(DataError, match=r"no rules for the language 'xx'; it has them for .* de,"):
        task.data("train", 0)


def test_words_outside_the_vocabulary_are_unknown_in_tokens_and_themselves_in_references(files):
    lines = [f"the number {n} again\tdie Zahl {n} noch einmal" for n in range(200)]
    (Path.cwd() / "b.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    task = ParallelText(source_file="b.tsv", tokens="words", min_count=2)
    assert task.source.classes == 4 + 3
    guesses, references = [], []
    meter = task.meter("test")
    data = task.data("test", 0)
    for key in data.order(8, None):
        b = data.batch(key, None)
        meter.update(b, Prediction(b.y, b.y > 0, b.y, b.y))
    guesses, references = meter.guesses, meter.references
    assert set(guesses) == {"die Zahl ⁇ noch einmal"}
    assert sorted(references) == sorted(y for _, y in task.texts("test"))
    assert meter.compute()["bleu"] == pytest.approx(
        sacrebleu.corpus_bleu(guesses, [references]).score
    )
    stray = Batch(torch.tensor([[5, 3]]), torch.tensor([[6, 3]]))
    with pytest.raises(ValueError, match="not in test"):
        meter.update(stray, Prediction(stray.y, stray.y > 0, stray.y, stray.y))


def test_lowercase_folds_references_too_and_the_signature_says_so(files):
    (Path.cwd() / "b.tsv").write_text("".join(f"A {n}\tDas Wort {n}\n" for n in range(99)), "utf-8")
    task = ParallelText(source_file="b.tsv", tokens="words", lowercase=True)
    meter = task.meter("valid")
    meter.add("das wort 1 ist gut", "das wort 1 ist gut")
    assert meter.compute()["bleu"] == pytest.approx(100)
    assert "case:lc" in meter.signature
    assert all(y.startswith("das wort") for _, y in task.texts("valid"))


def test_length_ratio_is_that_of_sacrebleu_of_translations_over_references():
    meter = Translation(str, stop=3)
    meter.add("a b c d e f", "a")
    assert meter.compute()["length_ratio"] == pytest.approx(6)
    other = Translation(str, stop=3)
    other.add("a b c", "a b c d")
    assert other.compute()["length_ratio"] == pytest.approx(3 / 4)


def test_examples_show_texts_and_where_each_token_looked(files):
    task = ParallelText(source_file="a.tsv", tokens="words", min_count=1)
    data = task.data("valid", 0)
    b = data.batch(data.order(4, None)[0], None)
    attention = torch.zeros(len(b.x), b.y.shape[1], b.x.shape[1])
    attention[:, :, 0] = 1.0
    shown = task.show(b, Prediction(b.y, b.y > 0, b.y, b.y, attention))
    assert shown[0]["prediction"] == shown[0]["target"]
    assert shown[0]["alignment"] == "0-0"
    batch, told = task.ask("  forty-two   ")
    assert batch.x.tolist() == [[*task.tokeniser("source").encode("forty-two"), 3]]
    assert told(torch.tensor([*task.tokeniser("target").encode("zwei"), 3, 5])) == "zwei"


def test_long_training_pairs_are_left_out_by_wish_and_counted_and_held_out_ones_never(files):
    task = ParallelText(source_file="a.tsv", tokens="words", max_tokens=2, min_count=1)
    whole = ParallelText(source_file="a.tsv", tokens="words", min_count=1)
    n = len(task.data("train", 0))
    assert n + task._prepared["left_out"] == len(whole.data("train", 0))
    assert np.diff(task.data("train", 0).x[1]).max() == 3  # and the stop token
    assert len(task.data("test", 0)) == len(whole.data("test", 0))
    with pytest.raises(DataError, match="raise max_tokens"):
        ParallelText(source_file="a.tsv", tokens="characters", max_tokens=2).data("train", 0)


# -------------------------------------------------------------------------------------- batches


def test_halved_batches_hold_every_pair_once_and_keep_to_rows_and_budget():
    draw = np.random.RandomState(0)
    lengths = draw.randint(1, 40, (500, 2))
    x, y = (ragged([[5] * n for n in lengths[:, i]]) for i in range(2))
    data = Pairs(x, y, pool=None, budget=900)
    for rng in (None, torch.Generator().manual_seed(1)):
        order = data.order(32, rng)
        assert sorted(i for key in order for i in key.tolist()) == list(range(500))
        for key in order:
            b = data.batch(key, None)
            assert len(key) <= 32
            assert b.x.numel() + b.y.numel() <= 900
    assert waste([lengths[key] for key in order]) < 0.2
    one, two = (data.order(32, torch.Generator().manual_seed(s)) for s in (1, 2))
    assert {tuple(sorted(k)) for k in one} != {tuple(sorted(k)) for k in two}
    alone = Pairs(x, y, pool=None, budget=1)
    assert all(len(key) == 1 for key in alone.order(32, None))
    with pytest.raises(ValueError, match="pool=None"):
        Pairs(x, y, budget=5)


def test_waste_is_the_share_of_positions_that_hold_nothing():
    assert waste([np.array([[2, 1], [4, 3]])]) == pytest.approx(1 - 10 / 14)
    assert waste([np.array([[3, 3]] * 4)]) == 0


# ---------------------------------------------------------------------------- interface strings


def test_the_strings_of_other_languages_follow_the_rules_of_ui_en_de():
    ours = UiTranslation(source_language="en", target_language="de", tokens="characters")
    known = UiEnDe()
    for split in SPLITS:
        assert sorted(ours.texts(split)) == sorted(known.texts(split))
    with pytest.raises(ValueError, match="choose two"):
        UiTranslation(source_language="fr", target_language="fr")


def test_batches_of_ui_en_de_are_a_tenth_padding_at_most():
    sizes = row_lengths(UiEnDe().data("train", 0), 64)
    assert waste(sizes) < 0.1


def test_symbols_pass_over_what_is_no_text():
    symbols = Symbols(["a", "b"], str.split, " ".join)
    assert symbols.encode("a c b") == [4, Subwords.UNKNOWN, 5]
    assert symbols.decode([2, 4, 1, 5, 3, 0]) == "a ⁇ b"
    assert symbols.words == ("", "", "", "", "a", "b")
    assert len(symbols) == 6
    assert re.fullmatch(r"\S+", symbols.words[4])
