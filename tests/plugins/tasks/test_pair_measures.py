"""What ranks pairs of texts, what chooses among checkpoints, and how it is measured."""

import random

import pytest

from rnnbench.metrics import Translation
from rnnbench.metrics.sequences import edit_distance
from rnnbench.metrics.text import text_distance
from rnnbench_tasks.multi30k import Multi30K
from rnnbench_tasks.parallel_text import ParallelText, suitable_headline


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_distance_of_texts_is_that_of_the_table():
    draw = random.Random(0)
    for _ in range(300):
        one, other = ("".join(draw.choices("abé ", k=draw.randint(0, 70))) for _ in range(2))
        assert text_distance(one, other) == edit_distance(one, other)


def measured(pairs, *metrics, **options):
    meter = Translation(str, stop=0, metrics=metrics, **options)
    for guess, reference in pairs:
        meter.add(guess, reference)
    return meter, meter.compute()


def test_exact_match_cer_and_ter_are_what_they_say():
    pairs = [("the cat", "the cat"), ("a dig ran", "a dog ran"), ("", "no")]
    meter, values = measured(pairs, "exact", "cer", "ter")
    assert values == {
        "exact": pytest.approx(1 / 3),
        "cer": pytest.approx(3 / 18),
        "ter": pytest.approx(100 * 2 / 6),
    }
    assert meter.items("exact").values == [(1, 1), (0, 1), (0, 1)]
    assert meter.items("cer").values == [(0, 7), (1, 9), (2, 2)]
    assert meter.signature.startswith("TER|")


def test_case_counts_unless_it_is_folded():
    assert measured([("A", "a")], "exact")[1] == {"exact": 0}
    assert measured([("A", "a")], "exact", "cer", lowercase=True)[1] == {"exact": 1, "cer": 0}


ACTIONS = [" ".join(random.Random(i).choices(["WALK", "RUN", "JUMP"], k=8)) for i in range(99)]
SENTENCES = [" ".join(f"w{(i * j) % 997}" for j in range(1, 9)) for i in range(1, 300)]


@pytest.mark.parametrize(
    ("targets", "headline"),
    [(["hallo", "welt"] * 50, "exact"), (ACTIONS, "exact"), (SENTENCES, "bleu")],
)
def test_what_ranks_suits_the_targets(targets, headline):
    assert suitable_headline(targets) == headline


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "words.tsv"
    path.write_text("".join(f"{i:04d}\t{str(i)[::-1]}\n" for i in range(400)))
    return {"source_file": str(path), "tokens": "characters"}


def test_one_word_a_line_is_ranked_by_exact_match(words):
    task = ParallelText(**words)
    assert [m.name for m in task.metrics] == ["exact", "cer", "bleu", "chrf", "length_ratio"]
    assert task.selection == "exact"
    assert set(task.baselines("valid")["copy the source"]) == {m.name for m in task.metrics}


@pytest.mark.parametrize("by", ["loss", "ter", "cer", "exact"])
def test_what_ranks_and_what_chooses_can_be_set(words, by):
    task = ParallelText(headline="chrf", select_by=by, **words)
    assert task.metrics[0].name == "chrf"
    assert task.selection == by
    declared = {m.name for m in task.metrics}
    assert by == "loss" or by in declared
    assert set(task.baselines("valid")["copy the source"]) == declared


def test_tasks_with_data_of_their_own_report_what_they_did_and_take_the_choice_too():
    assert [m.name for m in Multi30K().metrics] == ["bleu", "chrf", "length_ratio"]
    chosen = Multi30K(headline="exact", select_by="loss")
    assert [m.name for m in chosen.metrics] == ["exact", "bleu", "chrf", "length_ratio"]
    assert chosen.selection == "loss"
