"""The card of a text as tokens: lengths, vocabulary, what is unknown, and whether the unit fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rnnbench.contract import DataCard, Picture

__all__ = ["text_card", "write_files"]

SHOWN = 10  # of the commonest symbols
LOOKED_AT = 2_000_000  # tokens of a split that are counted
MANY_UNKNOWN = 0.05
FEW_REPEATS = 3  # tokens of training for each symbol, under which words are hardly learnt
# Scripts that are written without blanks between words.
UNSPACED = (
    ("Chinese or Japanese", 0x3040, 0x30FF), ("Chinese or Japanese", 0x3400, 0x9FFF),
    ("Thai", 0x0E00, 0x0E7F), ("Lao", 0x0E80, 0x0EFF), ("Khmer", 0x1780, 0x17FF),
    ("Burmese", 0x1000, 0x109F),
)  # fmt: skip


def text_card(
    tokens: Mapping[str, np.ndarray],
    characters: Mapping[str, int],
    symbols: Sequence[str],
    unit: str,
    unknown: int | None,
    name: str,
) -> DataCard:
    """Return the card of a text.

    Args:
        tokens, characters: of each split.
        symbols: what each token is written as.
        unit: what a token is.
        unknown: the token of what training did not have; None: there is none.
        name: of what is read, such as its files.
    """
    train = np.asarray(tokens["train"][:LOOKED_AT]).astype(np.int64)
    counts = np.bincount(train, minlength=len(symbols))
    order = np.argsort(-counts, kind="stable")
    once = int((counts == 1).sum())
    splits, gone = {}, {}
    for split, stream in tokens.items():
        text = f"{len(stream):,} {unit}s, {characters[split]:,} characters"
        if unknown is not None:
            gone[split] = float((np.asarray(stream[:LOOKED_AT]) == unknown).mean())
            text += f", {gone[split]:.2%} of the {unit}s unknown"
        splits[split] = text
    shown = ", ".join(_write(symbols[i]) for i in order[:SHOWN] if counts[i])
    facts = {
        "read from": name,
        "unit": unit,
        "vocabulary": f"{len(symbols):,} {unit}s"
        + (f", {once:,} of them once in training" if unit == "word" else ""),
        "commonest": shown,
        f"characters a {unit}": f"{characters['train'] / max(1, len(tokens['train'])):.2f}",
    }
    total = sum(map(len, tokens.values()))
    return DataCard(
        summary=f"{total:,} {unit}s of {name}, a vocabulary of {len(symbols):,}",
        facts=facts,
        splits=splits,
        doubts=_doubts(counts, symbols, unit, gone, len(train)),
        pictures=[_ranks(counts[order], unit)],
    )


def _doubts(
    counts: np.ndarray, symbols: Sequence[str], unit: str, gone: Mapping[str, float], total: int
) -> list[str]:
    """Say where another unit would suit the text better, and where much is unknown."""
    doubts = []
    if unit == "word" and (script := unspaced_script(counts, symbols)):
        doubts.append(
            f"most of the text is {script}, which has no blanks between words, so that a word is a "
            "whole phrase: set task.unit=character or task.unit=subword"
        )
    elif unit == "word" and total < FEW_REPEATS * len(symbols):
        doubts.append(
            f"training has {total:,} words of {len(symbols):,} kinds, so that most are met once: "
            "set task.unit=subword or character, or leave rare words out by task.min_count=2"
        )
    worst = max(gone, key=lambda split: gone[split], default="")
    if worst and gone[worst] > MANY_UNKNOWN:
        doubts.append(
            f"{gone[worst]:.1%} of the {unit}s of {worst} are unknown, one symbol for all of them, "
            "which flatters a perplexity: set task.unit=subword or character for figures that "
            "compare"
        )
    return doubts


def unspaced_script(counts: np.ndarray, symbols: Sequence[str]) -> str:
    """Return the script of a text of which most letters are of one without blanks; or ""."""
    letters: dict[str, int] = {}
    every = 0
    for symbol, count in zip(symbols, counts.tolist(), strict=False):
        for character in symbol:
            if not character.isalpha():
                continue
            every += count
            for script, low, high in UNSPACED:
                if low <= ord(character) <= high:
                    letters[script] = letters.get(script, 0) + count
    most = max(letters, key=lambda s: letters[s], default="")
    return most if most and letters[most] > every / 2 else ""


def _ranks(counts: np.ndarray, unit: str) -> Picture:
    """Draw how often the commonest symbols are met, by the logarithm."""
    shown = counts[counts > 0]
    at = np.unique(np.geomspace(1, max(1, len(shown)), 40).astype(int)) - 1
    values = tuple(float(np.log10(shown[i])) for i in at) if len(shown) else ()
    ends = "the commonest", f"number {len(shown):,}"
    return Picture(f"how often each {unit} is met, by powers of ten", values, "bars", ends)


def write_files(names: Sequence[str]) -> str:
    """Return names of files between commas: a few, and how many more there are."""
    more = [f"{len(names) - 3} more"] if len(names) > 3 else []
    return ", ".join([*names[:3], *more])


def _write(symbol: str) -> str:
    return symbol if symbol.strip() and symbol.isprintable() else repr(symbol)
