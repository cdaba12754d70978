"""Numbers and names as a reader sees them."""

import pytest

from rnnbench.leaderboard.types import Effect, Margin
from rnnbench.report import wording
from rnnbench.stats import Estimate, estimate


@pytest.mark.parametrize(
    ("mean", "half", "text"),
    [
        (1.80262, 0.01834, "1.803 ± 0.018"),
        (0.97446, 0.0096, "0.9745 ± 0.0096"),
        (0.97446, 0.00096, "0.97446 ± 0.00096"),
        (123.456, 7.89, "123.5 ± 7.9"),
        (123.456, 78.9, "123 ± 79"),
        (-0.5, 0.25, "−0.50 ± 0.25"),
        (1.5, 0.0, "1.500 ± 0"),
        (1.23e-7, 4.5e-9, "(1.230 ± 0.045) × 10⁻⁷"),
        (1.23e9, 4.5e7, "(1.230 ± 0.045) × 10⁹"),
    ],
)
def test_the_interval_decides_how_many_digits_are_shown(mean, half, text):
    assert wording.interval(Estimate(mean, 3, half, mean - half, mean + half)) == text


def test_a_single_seed_is_shown_without_an_interval():
    assert wording.interval(estimate([1.80262])) == "1.803"
    assert wording.interval(None) == "–"


def test_counts_sizes_and_times_are_short():
    counts = (812, 9999, 43_000, 999_999, 6_400_000)
    assert [wording.count(v) for v in counts] == ["812", "9,999", "43.0 k", "1000 k", "6.40 M"]
    assert wording.size(412_000_000) == "412 MB"
    times = (0.412, 41, 200, 7500)
    assert [wording.duration(v) for v in times] == ["0.41 s", "41 s", "3 min 20 s", "2 h 05 min"]


def test_a_margin_has_its_sign():
    worse = Margin("unigram", -0.12345, -2.0, "worse")
    assert wording.margin(worse) == "−0.123 (−2.0%)"
    assert wording.verdict(worse) == "worse than unigram"


def test_a_difference_has_its_sign_and_says_why_there_is_none():
    plus, minus = Estimate(0.0412, 3, 0.01, 0.0062, 0.0762), Estimate(-0.5, 1)
    tiny = Estimate(4e-7, 3, 1e-8, 3e-7, 5e-7)
    differences = [
        wording.difference(Effect("lstm", "unclear", difference=d)) for d in (plus, minus, tiny)
    ]
    assert differences == ["+0.041 ± 0.035", "−0.5000", "(+4.0 ± 1.0) × 10⁻⁷"]
    assert wording.difference(Effect("lstm", "missing", "not run")) == "not run"
    assert wording.difference(Effect("lstm", "refused", "it has no gate")) == "refused"
    assert [wording.probability(p) for p in (0.0, 0.0123, 1.0, None)] == [
        "< 0.001",
        "0.012",
        "1.0",
        "–",
    ]
