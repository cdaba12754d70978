"""Formal languages: their strings, what is legal in them, floors by counting, and learning."""

import itertools
import math
from collections import Counter

import pytest
import torch
from laws.synthetic_laws import broken_laws, whole
from support.learning import figures_after

from rnnbench.contract import Prediction
from rnnbench_architectures.lstm import LSTM
from rnnbench_tasks.anbncn import AnBnCn, strings
from rnnbench_tasks.dyck import Dyck
from rnnbench_tasks.embedded_reber import SYMBOLS, EmbeddedReber, legal

FEW = {"train_items": 300, "valid_items": 60, "test_items": 70}


def drawn(task, rows=200, seed=0, **more):
    return task.draw(rows, torch.Generator().manual_seed(seed), **more)


def texts(task, batch):
    """Each row's string, from what is read and the last symbol that is predicted."""
    rows = zip(batch.x.tolist(), batch.y.tolist(), batch.x_len.tolist(), strict=True)
    return ["".join(task.symbols[i] for i in [*x[:n], y[n - 1]]) for x, y, n in rows]


DIAGRAM = {
    1: {"T": 2, "P": 3},
    2: {"S": 2, "X": 4},
    3: {"T": 3, "V": 5},
    4: {"X": 3, "S": 6},
    5: {"P": 4, "V": 6},
}


def reber_chance(text):
    """The chance of a string of the Reber grammar by its diagram, 0 where it is none."""
    node, chance = 1, 1.0
    for symbol in text[1:-1]:
        if symbol not in DIAGRAM.get(node, {}):
            return 0.0
        node, chance = DIAGRAM[node][symbol], chance / 2
    return chance if node == 6 and text[0] == "B" and text[-1] == "E" else 0.0


def test_embedded_reber_strings_are_the_grammars_with_its_chances():
    task = EmbeddedReber()
    found = Counter(texts(task, drawn(task, 20_000)))
    for text, count in found.items():
        assert text[0] == "B"
        assert text[-1] == "E"
        assert text[1] == text[-2] in "TP"
        chance = reber_chance(text[2:-2]) / 2
        assert chance > 0
        assert count == pytest.approx(20_000 * chance, abs=6 * (20_000 * chance) ** 0.5 + 2)
    seen = {text[2:-2] for text in found}
    assert {"BTXSE", "BPVVE", "BTSXSE", "BPTVVE", "BTXXVVE", "BPVPSE"} <= seen


def test_the_legal_symbols_of_a_string_by_hand():
    task = EmbeddedReber()
    (string,) = ([SYMBOLS.index(s) for s in "BPBTSXXVPSEPE"],)
    batch = task.batch_of([string])
    after = ["".join(s for s, may in zip(SYMBOLS, row, strict=True) if may)
             for row in legal(batch)[0].tolist()]  # fmt: skip
    #        B     P    B     T     S     X     X     V     P     S    E    P
    assert after == ["TP", "B", "TP", "SX", "SX", "SX", "TV", "PV", "SX", "E", "P", "E"]


def test_nothing_is_legal_once_a_symbol_was_illegal():
    batch = EmbeddedReber().batch_of([[SYMBOLS.index(s) for s in "BTBEEE"]])
    assert legal(batch)[0, 3:].sum() == 0


def test_the_floor_of_embedded_reber_is_a_bit_for_each_branch():
    task = EmbeddedReber()
    strings_ = texts(task, whole(task, "test"))
    bits = sum(1 - math.log2(reber_chance(s[2:-2])) for s in strings_)  # 1 for the letter outside
    symbols = sum(len(s) - 1 for s in strings_)
    found = task.baselines("test")
    assert found["grammar"] == pytest.approx({"strings": 1.0, "bits": bits / symbols})
    forgetful = {"strings": 0.0, "bits": (bits + len(strings_)) / symbols}
    assert found["grammar without memory"] == pytest.approx(forgetful)
    assert found["bigram, add-one"]["bits"] > forgetful["bits"]


def test_a_string_counts_where_its_legal_symbols_are_the_most_active_throughout():
    task = EmbeddedReber()
    batch = task.batch_of([[SYMBOLS.index(s) for s in "BTBTXSETE"]])
    best = legal(batch).double()
    mask = torch.ones_like(batch.y, dtype=torch.bool)

    def judged(out):
        meter = task.meter("test")
        meter.update(batch, Prediction(torch.zeros(batch.y.shape), mask, out, None))
        return meter.compute()["strings"]

    assert judged(best) == 1
    assert judged(best * torch.arange(1.0, 8)) == 1  # whichever of the legal ones is ahead
    assert judged(torch.zeros_like(best)) == 0  # all alike is no prediction
    wrong = best.clone()
    wrong[0, 6, SYMBOLS.index("P")] = 2.0  # the letter to be kept
    assert judged(wrong) == 0
    one_missing = best.clone()
    one_missing[0, 0, SYMBOLS.index("P")] = -1.0  # of T and P, below the illegal ones
    assert judged(one_missing) == 0


def all_dyck(types, depth, length):
    """All well-nested strings of a length, by trying every one."""
    opening = "([{<"[:types]
    closing = dict(zip(")]}>"[:types], opening, strict=True))
    found = []
    for letters in itertools.product((*opening, *closing), repeat=length):
        stack = []
        for c in letters:
            if c in opening:
                stack.append(c)
                if len(stack) > depth:
                    break
            elif not stack or stack.pop() != closing[c]:
                break
        else:
            if not stack:
                found.append("".join(letters))
    return found


@pytest.mark.parametrize(("types", "depth"), [(2, 1), (2, 2), (3, 3)])
def test_dyck_draws_every_string_of_a_length_as_often(types, depth):
    task = Dyck(types=types, depth=depth, longest=6)
    rows = 30_000
    found = Counter(t[1:-1] for t in texts(task, drawn(task, rows)))
    possible = [s for length in (2, 4, 6) for s in all_dyck(types, depth, length)]
    assert set(found) == set(possible)
    for length in (2, 4, 6):
        of_length = [s for s in possible if len(s) == length]
        expected = rows / 3 / len(of_length)
        # Pearson's statistic lies near the number of strings less one, and 6 deviations from it
        # at most.
        off = sum((found[s] - expected) ** 2 / expected for s in of_length)
        degrees = len(of_length) - 1
        assert off < degrees + 6 * math.sqrt(2 * degrees) + 20
        total = sum(found[s] for s in of_length)
        assert total == pytest.approx(rows / 3, rel=0.05)


def test_dyck_is_longer_in_test_and_never_too_deep():
    task = Dyck(types=4, depth=3, longest=20, test_items=300)
    assert list(task.lengths("train")) == list(range(2, 21, 2))
    assert list(task.lengths("test")) == list(range(22, 41, 2))
    assert list(Dyck(longest=5).lengths("train")) == [2, 4]
    assert list(Dyck(longest=5).lengths("test")) == [8, 10]
    deepest = 0
    for text in texts(task, whole(task, "test")):
        open_ = 0
        for c in text[1:-1]:
            open_ += 1 if c in "([{<" else -1
            deepest = max(deepest, open_)
        assert open_ == 0
    assert deepest == 3


def test_the_floor_of_dyck_is_the_logarithm_of_how_many_strings_there_are():
    task = Dyck(types=2, depth=2, longest=6)
    counts = {n: len(all_dyck(2, 2, n)) for n in (2, 4, 6)}
    lengths = [len(t) - 2 for t in texts(task, whole(task, "valid"))]
    bits = sum(math.log2(3 * counts[n]) for n in lengths)
    floor = task.baselines("valid")["grammar"]
    assert floor == pytest.approx({"closing": 1.0, "bits": bits / sum(n + 1 for n in lengths)})
    assert floor["bits"] < task.baselines("valid")["bigram, add-one"]["bits"]


def test_a_closing_bracket_counts_from_four_fifths_of_what_all_of_them_get():
    task = Dyck(types=2)
    tokens = [list(task.symbols).index(c) for c in "|([])|"]
    batch = task.batch_of([tokens])  # closes at the third and the fourth prediction
    mask = torch.ones_like(batch.y, dtype=torch.bool)
    out = torch.full((1, 5, 5), -30.0)
    out[0, :, 1] = 5.0  # most goes to an opening bracket, which plays no part

    def judged(square, round_):
        changed = out.clone()
        changed[0, 2, 3:] = torch.tensor([1 - square, square]).log()
        changed[0, 3, 3:] = torch.tensor([round_, 1 - round_]).log()
        meter = task.meter("test")
        meter.update(batch, Prediction(torch.zeros(1, 5), mask, changed, None))
        return meter.compute()["closing"]

    assert judged(0.81, 0.81) == 1
    assert judged(0.81, 0.79) == 0.5
    assert judged(0.1, 0.79) == 0


def test_bigrams_close_what_was_opened_just_before():
    task = Dyck(types=3, depth=3)
    found = task.baselines("test")["bigram, add-one"]["closing"]
    follows = closings = 0
    for text in texts(task, whole(task, "test")):
        pairs = list(itertools.pairwise(text[1:-1]))
        closings += sum(b in ")]}" for _, b in pairs)
        follows += sum(a + b in ("()", "[]", "{}") for a, b in pairs)
    assert found == pytest.approx(follows / closings)


def test_the_legal_symbols_of_anbncn_by_hand():
    batch = strings(torch.tensor([1, 3]))
    assert batch.x_len.tolist() == batch.y_len.tolist() == [4, 10]

    def read(row):
        return "".join("Sabc"[i] for i in batch.x[row, : batch.x_len[row]].tolist())

    def named(row):
        return ["".join(s for s, may in zip("abcT", values, strict=True) if may)
                for values in batch.y[row, : batch.x_len[row]].tolist()]  # fmt: skip

    assert read(0) == "Sabc"
    assert named(0) == ["a", "ab", "c", "T"]
    assert read(1) == "Saaabbbccc"
    assert named(1) == ["a", "ab", "ab", "ab", "b", "b", "c", "c", "c", "T"]


def test_anbncn_asks_in_test_for_every_n_beyond_training():
    task = AnBnCn(train_max=4, test_max=9)
    counts = {s: ((whole(task, s).x_len - 1) // 3).tolist() for s in ("valid", "test")}
    assert counts == {"valid": [1, 2, 3, 4], "test": [5, 6, 7, 8, 9]}
    assert set(((drawn(task).x_len - 1) // 3).tolist()) == {1, 2, 3, 4}
    with pytest.raises(ValueError, match="must be above"):
        AnBnCn(train_max=9, test_max=9)


def test_the_reach_ends_before_the_first_string_that_is_wrong():
    task = AnBnCn(train_max=2, test_max=7)
    batch = whole(task, "test")

    def judged(*wrong):
        meter, out = task.meter("test"), batch.y.clone()
        for n in wrong:
            out[n - 3, 3 * n, 3] = 0.4  # the end is not foretold
        mask = (torch.arange(22) < batch.x_len[:, None])[..., None].expand_as(out)
        meter.update(batch, Prediction((out - batch.y).square(), mask, out, None))
        return meter.compute()

    assert judged()["reach"] == 7
    assert judged(6)["reach"] == 5
    assert judged(6)["strings"] == 4 / 5
    assert judged(3)["reach"] == 2
    assert judged(4, 6)["reach"] == 3


def test_nothing_is_counted_by_the_last_symbol_alone():
    task = AnBnCn(train_max=4, test_max=6)
    valid, test = (task.baselines(s)["by the last symbol"] for s in ("valid", "test"))
    assert test["reach"] == 4
    assert test["strings"] == 0
    # Of 10 b's 4 are the last of theirs, after which c may come, and of 10 c's 4, after which T
    # may; nothing else is uncertain: 2 letters with 2 values each, 10 · 0.4 · 0.6 squared errors.
    counted = 4 * sum(3 * n + 1 for n in range(1, 5))
    assert valid["mse"] == pytest.approx(2 * 2 * 10 * 0.4 * 0.6 / counted)


@pytest.mark.parametrize(
    ("task", "text", "tokens", "refused"),
    [
        (EmbeddedReber(), "BT BP", [0, 1, 0, 4], "abc"),
        (Dyck(types=2), "|[(", [0, 2, 1], "{"),
        (AnBnCn(), "aab", [0, 1, 1, 2], "aaS"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_prompt_is_read_as_symbols(task, text, tokens, refused):
    batch, say = task.ask(text)
    assert batch.x.tolist() == [tokens]
    assert isinstance(say(batch.y[0]), str)
    with pytest.raises(ValueError, match=f"{task.name} reads"):
        task.ask(refused)


@pytest.mark.parametrize(
    "task",
    [
        Dyck(types=8, depth=5, longest=30, **FEW),
        Dyck(types=2, depth=1, longest=20, **FEW),
        AnBnCn(train_max=6, test_max=30, train_items=200),
        EmbeddedReber(**FEW),
    ],
    ids=lambda task: task.name,
)
def test_the_laws_hold_away_from_the_defaults(task):
    assert broken_laws(task) == {}


@pytest.mark.parametrize(
    ("task", "how", "metric", "bound"),
    [
        (EmbeddedReber(**FEW), (300, 32), "strings", 0.8),
        (Dyck(longest=10, **FEW), (300, 32), "closing", 0.9),
        (AnBnCn(train_max=5, test_max=10), (500, 16), "reach", 5),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_small_lstm_leaves_what_has_no_memory_behind(task, how, metric, bound):
    steps, batch = how
    figures, _ = figures_after(task, LSTM(hidden=24), steps=steps, rate=1e-2, batch=batch)
    trivial = [found for who, found in task.baselines("test").items() if who != "grammar"]
    assert figures[metric] > bound >= max(found[metric] for found in trivial)
