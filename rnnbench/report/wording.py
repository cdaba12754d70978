"""Writes numbers and names as a reader should see them, the same in every report."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from rnnbench.leaderboard.differing import changed_settings, write_setting
from rnnbench.leaderboard.pairwise import Pair
from rnnbench.leaderboard.placing import AGAINST
from rnnbench.leaderboard.types import Attribution, Board, Effect, Margin, Row, Verdict
from rnnbench.leaderboard.verdicts.pairs import Relation
from rnnbench.stats import Estimate

NOTHING = "–"
DIGITS_ALONE = 4  # significant digits of a figure without an interval
SHORT = ("not run", "not tested yet")  # reasons that stand in the place of a difference
NOT_SAID = ("share", "squared", "r", "rho", "n")  # units that nobody says after a number
SYMBOLS: dict[Verdict | Relation, str] = {
    "helps": "▲", "hurts": "▼", "better": "▲", "worse": "▼", "equal": "=", "open": "○",
}  # fmt: skip
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def visible(text: str) -> str:
    """Return the text with characters that steer terminals or reverse lines shown as codes."""
    return "".join(
        f"\\u{ord(c):04x}"
        if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\n\t"
        else c
        for c in text
    )


def interval(estimate: Estimate | None) -> str:
    """Return the mean and half the width of its 95% interval, as "1.803 ± 0.018".

    The half-width has two significant digits and the mean as many decimals; without an
    interval the mean has four significant digits. An interval that is not symmetric is told by its
    ends, as "1.803 [1.789, 1.826]".
    """
    if estimate is None:
        return NOTHING
    half = estimate.half_width
    if half is None or estimate.low is None or estimate.high is None:
        return number(estimate.mean)
    if abs((estimate.low + estimate.high) / 2 - estimate.mean) > 1e-6 * half:  # of a bootstrap
        digits = max(2, 2 + _exponent(max(abs(estimate.low), abs(estimate.high))) - _exponent(half))
        ends = ", ".join(number(end, digits) for end in (estimate.low, estimate.high))
        return f"{number(estimate.mean, digits)} [{ends}]"
    if half == 0:
        return f"{number(estimate.mean)} ± 0"
    largest = max(abs(estimate.mean), half)
    if 1e-4 <= largest < 1e6:
        decimals = max(0, 1 - _exponent(half))
        return f"{_fixed(estimate.mean, decimals)} ± {_fixed(half, decimals)}"
    power = _exponent(largest)
    decimals = max(0, 1 - _exponent(half) + power)
    mean, half = estimate.mean / 10.0**power, half / 10.0**power
    return f"({_fixed(mean, decimals)} ± {_fixed(half, decimals)}) × {_ten_to(power)}"


def number(value: float | None, digits: int = DIGITS_ALONE) -> str:
    """Return a figure with so many significant digits."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    power = _exponent(value)
    if -4 <= power < 6:
        return _fixed(value, max(0, digits - 1 - power))
    return f"{_fixed(value / 10.0**power, digits - 1)} × {_ten_to(power)}"


def count(value: float | None) -> str:
    """Return a count as "812", "40.5 k", "6.4 M"."""
    if value is None:
        return NOTHING
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{number(value / limit * (10 if letter == 'k' else 1), 3)} {letter}"
    return f"{value:,.0f}"


def size(value: float | None) -> str:
    """Return bytes as "412 MB"."""
    if value is None:
        return NOTHING
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= limit:
            return f"{number(value / limit, 3)} {unit}"
    return f"{value:.0f} B"


def duration(seconds: float | None) -> str:
    """Return a time as "0.41 s", "41 s", "3 min 20 s", "2 h 05 min"."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return f"{number(seconds, 2)} s"
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def margin(row_margin: Margin | None) -> str:
    """Return the gain over the best baseline as "+1.61 (+47%)"; positive is better."""
    if row_margin is None:
        return NOTHING
    percent = "" if row_margin.percent is None else f" ({_signed(row_margin.percent, 2)}%)"
    return _signed(row_margin.gain, 3) + percent


def verdict(row_margin: Margin | None) -> str:
    """Say the margin in words."""
    if row_margin is None:
        return "no trivial baseline is recorded"
    return f"{AGAINST[row_margin.verdict]} {row_margin.baseline}"


def amount(text: str, headline: Mapping[str, Any]) -> str:
    """Return an amount of a metric, as "0.03 bits"; as "0.03 in accuracy" where its unit is none
    that is said after a number, such as a share."""
    unit, name = str(headline.get("unit", "")), str(headline.get("name", ""))
    said = re.fullmatch(r"[a-z]+(/[a-z]+)?", unit) and unit not in (name, *NOT_SAID)
    return f"{text} {unit}" if said else f"{text} in {name}"


def equal_within(board: Board) -> str:
    """Return within what rows of a board are equal, as "0.01 bits" or "2%"."""
    margin = board.verdicts.equal_within
    if margin.relative:
        return f"{100 * margin.size:.3g}%"
    return amount(f"{margin.size:g}", board.headline)


def protocol(board: Board) -> list[tuple[str, str]]:
    """Return what a board's rows have in common; of the task only what its defaults do not say."""
    pairs = []
    for label, text in board.protocol:
        if label == "Task" and board.task_settings:
            changed = changed_settings(board)
            told = ", ".join(f"{name}={write_setting(value)}" for name, value in changed.items())
            rest = len(board.task_settings) - len(changed)
            others = f"the {'other ' if changed else ''}{rest} as by default" if rest else ""
            said = "; ".join(filter(None, (told, others)))
            text = text.partition(":")[0] + (f": {said}" if said else "")
        pairs.append((label, text))
    return pairs


def compared(board: Board) -> list[tuple[str, str]]:
    """Say how the rows of a board were compared, as (label, text) pairs; [] without two rows."""
    if len(board.ranked) < 2:
        return []
    verdicts = board.verdicts
    origins = {
        "asked for": "as asked for",
        "task": "as the task's metric says",
        "unit": "the default; --margin sets another",
    }
    within = equal_within(board)
    equal = f"rows shown to differ by less than {within} ({origins[verdicts.equal_within.origin]})"
    if not verdicts.equal_within.size:
        equal = f"rows whose seeds all agree ({origins[verdicts.equal_within.origin]})"
    elif verdicts.equal_within.relative:
        equal = equal.replace(within, f"{within} of the better figure")
    counts = verdicts.count()
    pairs = len(verdicts.pairs)
    said = f"better in {counts['better']}, equal in {counts['equal']}, open in {counts['open']}"
    by_logs = f"; by logarithms: {verdicts.scale_reason}" if verdicts.scale == "log" else ""
    every = "the two rows" if pairs == 1 else f"all {pairs} pairs at once"
    every += f", with {100 * verdicts.level:g}%"
    if verdicts.look > verdicts.level:
        every += f" (judged at {100 * verdicts.look:.3g}%, as results decided on seeds)"
    if pairs == 1:
        said = next(word for word, count in counts.items() if count)
    return [("Equal", equal), ("Compared", f"{every}: {said}; by {verdicts.method}{by_logs}")]


def more_seeds(pair: Pair, board: Board) -> str:
    """Return how many more seeds of each would settle an open pair, as "7"; "" of others."""
    if pair.verdict != "open":
        return ""
    if pair.more_seeds is None:
        return NOTHING if pair.note else f"> {board.verdicts.most_seeds}"
    return str(pair.more_seeds)


def took(pair: Pair) -> str:
    """Return what a verdict cost, as "9 runs, 4 min 10 s"."""
    runs = f"{sum(pair.seeds)} run{'s' if sum(pair.seeds) != 1 else ''}"
    return runs if pair.took_seconds is None else f"{runs}, {duration(pair.took_seconds)}"


def difference(effect: Effect) -> str:
    """Return a difference as "+0.041 ± 0.036", positive helps; or in short why there is none."""
    if effect.difference is None:
        return effect.reason if effect.reason in SHORT else effect.verdict
    text = interval(effect.difference)
    if effect.difference.mean <= 0:
        return text
    return f"(+{text[1:]}" if text.startswith("(") else f"+{text}"


def percent(effect: Effect) -> str:
    """Return "+2.2%" of the side without; "" where that means nothing."""
    return "" if effect.percent is None else f"{_signed(effect.percent, 2)}%"


def probability(p: float | None) -> str:
    """Return a probability as "0.012" or "< 0.001"."""
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else number(p, 2)


def attributed(attribution: Attribution) -> str:
    """Explain the differences of an attribution, in a sentence or two."""
    unit = f" in {attribution.headline['unit']}" if attribution.headline.get("unit") else ""
    metric = f"{attribution.headline['name']}{unit}" if attribution.headline else "the result"
    text = f"Difference of {metric} on test to the bare cell, seed by seed; positive helps."
    if attribution.bare:
        text += f" The bare cell has {' + '.join(attribution.bare)}, as every run here."
    return text


def remarks(attribution: Attribution) -> list[str]:
    """List what must be known beside the differences: refusals, failures, what is missing."""
    places_by_reason: dict[str, list[str]] = {}
    for comparison in attribution.comparisons:
        for effect in comparison.effects:
            reason = " ".join(effect.reason.split())
            reasons = [reason] if reason not in ("", *SHORT) else []
            if effect.verdict == "refused":
                reasons = [f"refused: {reason}"]
            if effect.difference is not None and effect.difference.n == 1:
                reasons.append("1 seed")
            for reason in (*reasons, *effect.marks):
                places_by_reason.setdefault(reason, []).append(
                    f"{effect.architecture}, {comparison.name}"
                )
    return [f"{'; '.join(where)}: {reason}" for reason, where in places_by_reason.items()] + [
        *attribution.notes
    ]


def failures(row: Row) -> str:
    """Return the failed runs of all as "1/6"."""
    return f"{row.failed}/{row.runs}" if row.runs else NOTHING


def rank(row: Row) -> str:
    """Return the places that a row may have, as "1–3", or "4" where it can be one only."""
    if row.rank is None or row.worst_rank is None:
        return ""
    return places((row.rank, row.worst_rank))


def places(best_and_worst: tuple[int, int]) -> str:
    """Return places as "1–3", or "4" where it can be one only."""
    best, worst = best_and_worst
    return f"{best}" if best == worst else f"{best}–{worst}"


def headline(board: Board) -> str:
    """Return the headline as "bits_per_char in bits/char, lower is better"."""
    metric = board.headline
    if not metric:
        return "metrics not known: no run got as far as its first validation"
    unit = f" in {metric['unit']}" if metric.get("unit") else ""
    direction = "higher" if metric.get("higher_is_better") else "lower"
    return f"{metric['name']}{unit}, {direction} is better"


def settings(row: Row) -> str:
    """Return the chosen configuration as "lstm: hidden=128; zoneout: rate=0.1; adam: lr=0.001"."""
    if not row.settings:
        return NOTHING
    parts = [row.settings["architecture"], *row.settings["tricks"], row.settings["optimizer"]]
    return "; ".join(_plugin_in_words(part) for part in parts)


def _plugin_in_words(part: Mapping[str, Any]) -> str:
    settings_text = ", ".join(f"{k}={v}" for k, v in part.items() if k not in ("name", "version"))
    return f"{part['name']}: {settings_text}" if settings_text else str(part["name"])


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def _fixed(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", "−")


def _signed(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    return ("+" if value > 0 else "−") + number(abs(value), digits)


def _ten_to(power: int) -> str:
    return "10" + str(power).translate(SUPERSCRIPTS)
