"""The card of pairs of texts: lengths, vocabularies, what is unknown, and what is met again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from rnnbench.contract import DataCard, Picture

__all__ = ["Lengths", "pairs_card"]

Lengths = tuple[np.ndarray, np.ndarray]  # of sources and of targets, in tokens
Texts = Mapping[str, Sequence[tuple[str, str]]]
MANY = 0.05  # share of held-out sources in training that is worth a word


def pairs_card(
    texts: Texts,
    lengths: Mapping[str, Lengths],
    vocabularies: tuple[int, int],
    *,
    unit: str,
    longest: int,
    unknown: Mapping[str, float],
    name: str,
) -> DataCard:
    """Return the card of pairs.

    Args:
        texts, lengths: of each split.
        vocabularies: of sources and of targets.
        unit: what a token is.
        longest: tokens that an output may have.
        unknown: the share of unknown tokens of targets, by split; {} where none can be.
        name: of what is read.
    """
    train = texts["train"]
    known = {x for x, _ in train}
    splits, doubts = {}, []
    for split, pairs in texts.items():
        x, y = lengths[split]
        text = (
            f"{len(pairs):,} pairs; sources {_spread(x)}, targets {_spread(y)} tokens"
            f"{f', {unknown[split]:.2%} of targets unknown' if unknown.get(split) else ''}"
        )
        if split != "train":
            again = sum(source in known for source, _ in pairs)
            text += f"; {again:,} sources are in training too" if again else ""
            if again > MANY * len(pairs):
                doubts.append(
                    f"{again / len(pairs):.0%} of the sources of {split} are in training too: what "
                    "is measured is partly what was learnt by heart"
                )
            if (over := float((y > longest).mean())) > 0.01:
                doubts.append(
                    f"{over:.1%} of the targets of {split} are longer than the {longest:,} tokens "
                    f"of an output: set task.max_length={int(y.max()) + 1}"
                )
        splits[split] = text
    by_source: dict[str, set[str]] = {}
    for source, target in train:
        by_source.setdefault(source, set()).add(target)
    several = sum(len(targets) > 1 for targets in by_source.values())
    if several > MANY * len(by_source):
        doubts.append(
            f"{several / len(by_source):.0%} of the sources of training have several targets: no "
            "model can have all of them exactly"
        )
    same = sum(x == y for x, y in train) / len(train)
    if same > 0.5:
        doubts.append(
            f"{same:.0%} of the training targets equal their source: are these the right columns?"
        )
    common, count = Counter(y for _, y in train).most_common(1)[0]
    facts = {
        "read from": name,
        "token": unit,
        "vocabulary": f"{vocabularies[0]:,} of sources, {vocabularies[1]:,} of targets",
        "longest output": f"{longest:,} tokens",
        "commonest target": f"{common[:60]!r}, {count / len(train):.1%} of training",
        "first pair": f"{train[0][0][:60]!r} becomes {train[0][1][:60]!r}",
    }
    total = sum(map(len, texts.values()))
    return DataCard(
        summary=f"{total:,} pairs of {name}, outputs of up to {longest:,} tokens ({unit})",
        facts=facts,
        splits=splits,
        doubts=doubts,
        pictures=[_histogram("tokens of a source", lengths["train"][0]),
                  _histogram("tokens of a target", lengths["train"][1])],
    )  # fmt: skip


def _spread(lengths: np.ndarray) -> str:
    return f"{lengths.min()} to {lengths.max()} ({int(np.median(lengths))} in the middle)"


def _histogram(title: str, lengths: np.ndarray) -> Picture:
    top = int(np.percentile(lengths, 99)) + 1
    counts, edges = np.histogram(np.minimum(lengths, top), bins=min(30, max(1, top)))
    ends = f"{edges[0]:.0f}", f"{edges[-1]:.0f}"
    return Picture(title, tuple(float(c) for c in counts), "bars", ends)
