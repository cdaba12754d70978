"""Dropout of whole words."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Refusal, Task


class WordDropout(nn.Module):
    """An embedding that drops whole words: all occurrences of a word type in a batch together."""

    def __init__(self, embed: Any, rate: float):
        super().__init__()
        self.map: nn.Embedding = embed.map
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        table = self.map.weight
        kept = F.dropout(table.new_ones(table.shape[0], 1), self.rate, self.training)
        return F.embedding(x, table * kept)


def drop_words(model: nn.Module, task: Task, rate: float, asked: str, remedy: str) -> None:
    """Let every embedding of tokens drop words.

    Args:
        asked: the setting with its value, as a refusal begins.
        remedy: what to do where there is none, as a refusal ends.

    Raises:
        Refusal: the model embeds no tokens, or another trick drops words already.
    """
    tables = [
        name
        for name in ("source_embed", "embed")
        if isinstance(getattr(getattr(model, name, None), "map", None), nn.Embedding)
    ]
    if not tables:
        raise Refusal(f"{asked} drops words; {task.name} has real-valued inputs.\n  {remedy}")
    for name in tables:
        embed = getattr(model, name)
        if isinstance(embed, WordDropout):
            raise Refusal(
                f"{asked} drops words, which a trick listed before it does already.\n  {remedy}"
            )
        setattr(model, name, WordDropout(embed, rate))
