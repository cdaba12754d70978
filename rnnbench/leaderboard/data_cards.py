"""The card of a user's data on a board, as its runs tell it; others' records are not trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rnnbench.results.labels import DATA_CARD
from rnnbench.results.record import Record

MOST_VALUES = 200  # of a picture


def card_of(records: Iterable[Record]) -> dict[str, Any]:
    """Return the card that the latest run with one has; {} where none has one that can be shown."""
    having = [r for r in records if _can_be_shown(r.provenance.get(DATA_CARD))]
    last = max(having, key=lambda r: (r.ended or "", r.run_id), default=None)
    return {} if last is None else dict(last.provenance[DATA_CARD])


def _can_be_shown(card: Any) -> bool:
    """Tell whether this has the shape of a card: see `contract.data_card.DataCard.as_plain`."""
    if not isinstance(card, Mapping) or not isinstance(card.get("summary"), str):
        return False
    texts = [card.get("facts"), card.get("splits")]
    pictures, doubts = card.get("pictures"), card.get("doubts")
    return (
        all(isinstance(t, Mapping) and all(isinstance(v, str) for v in t.values()) for t in texts)
        and isinstance(doubts, list)
        and all(isinstance(doubt, str) for doubt in doubts)
        and isinstance(pictures, list)
        and all(map(_can_be_drawn, pictures))
    )


def _can_be_drawn(picture: Any) -> bool:
    if not isinstance(picture, Mapping):
        return False
    values, ends = picture.get("values"), picture.get("ends")
    return (
        isinstance(picture.get("title"), str)
        and picture.get("form") in ("line", "bars")
        and isinstance(ends, list)
        and [isinstance(end, str) for end in ends] == [True, True]
        and isinstance(values, list)
        and 0 < len(values) <= MOST_VALUES
        and all(v is None or (isinstance(v, (int, float)) and abs(v) < 1e300) for v in values)
    )
