"""Sentiment of film reviews, with their parse trees."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch

from rnnbench.contract import Batch, Port, Source, setting
from rnnbench.data.tasks.labelled_text import Item, LabelledText

_SST = Source(
    name="sst",
    origin="https://nlp.stanford.edu/sentiment/trainDevTestTrees_PTB.zip",
    files={
        "trees/train.txt": "e2f3f41b0b1e6d4dddc0effe3bfc2d27ed8928079aa9a03d652311614fc5feb7",
        "trees/dev.txt": "0e9336aed6e4730e19f58d00a77b3f0297efdb755f7b5e598c98a05e3f97ea40",
        "trees/test.txt": "6e54806dee95cf80cd918e7dfb3f6770f6df24bf826f289a4d1f709e1c8f6761",
    },
    sha256="5c613a4f673fc74097d523a2c83f38e0cc462984d847b82c7aaf36b01cbbbfcc",
    size=789_539,
    licence="not stated",
    citation="Socher et al. (2013), Stanford Sentiment Treebank",
)
_FINE = ("very negative", "negative", "neutral", "positive", "very positive")


class Node(NamedTuple):
    """A labelled node of a tree: a word, or two nodes and more."""

    label: int
    word: str | None
    children: tuple[Node, ...]


@dataclass(frozen=True)
class SST(LabelledText):
    """Say how a sentence of a film review judges the film, from its words and its parse tree.

    8,544 sentences for training, 1,101 for validation, 2,210 for test, in five classes from very
    negative to very positive; with classes=binary the neutral ones are left out (6,920, 872 and
    1,821) and two classes are left. Only a sentence's own label is asked for; `phrases` adds every
    labelled phrase of the training sentences as an item, as in the paper.
    layout=tree: a row holds every node, children before their parents, inner nodes under a token
    that is no word; a sequence model reads the nodes in this order. layout=flat: the words alone.
    Baseline: the commonest class of training.

    Source: Socher et al. (2013), Recursive deep models for semantic compositionality over a
    sentiment treebank, EMNLP.
    """

    name: ClassVar[str] = "sst"

    classes: Literal["fine", "binary"] = setting("fine", "five classes, or two")
    layout: Literal["tree", "flat"] = setting("tree", "nodes of the tree, or words alone")
    phrases: bool = setting(False, "train on every labelled phrase, not on sentences alone")

    @property
    def labels(self) -> Sequence[str]:
        return _FINE if self.classes == "fine" else ("negative", "positive")

    @property
    def source(self) -> Port:
        layout = "tree" if self.layout == "tree" else "sequence"
        return Port(classes=len(self.vocabulary), layout=layout, vocabulary="words")

    def sources(self) -> tuple[Source, ...]:
        return (_SST,)

    def choice(self) -> dict[str, Any]:
        return {"classes": self.classes, "layout": self.layout, "phrases": self.phrases}

    def corpus(self, *folders: Path) -> Mapping[str, Sequence[Item]]:
        splits = {}
        for split, name in {"train": "train", "valid": "dev", "test": "test"}.items():
            trees = read_trees((folders[0] / f"trees/{name}.txt").read_text("utf-8"))
            nodes = (
                node
                for tree in trees
                for node in (_nodes(tree) if self.phrases and split == "train" else (tree,))
            )
            splits[split] = [self._item(n) for n in nodes if self.classes == "fine" or n.label != 2]
        return splits

    def ask(self, text: str) -> tuple[Batch, Any]:
        """Read a tree such as "(2 (3 good) (2 film))", or of layout=flat a text."""
        if self.layout == "flat":
            return super().ask(text)
        try:
            (tree,) = read_trees(text)
        except ValueError as e:
            raise ValueError(f"sst reads a tree such as (2 (3 good) (2 film)): {e}") from e
        item = self._item(tree)
        return Batch(
            torch.tensor([self.encode(item.words)]),
            torch.zeros(1, dtype=torch.long),
            parent_BT=torch.tensor([list(item.parents)]),
        ), lambda y: self.labels[int(y)]

    def _item(self, tree: Node) -> Item:
        answer = _FINE[tree.label] if self.classes == "fine" else self.labels[tree.label > 2]
        words: list[str | None] = []
        parents: list[int] = []
        _lay_out(tree, words, parents)
        if self.layout == "flat":
            return Item([w for w in words if w is not None], answer)
        return Item(words, answer, parents)


def _lay_out(node: Node, words: list[str | None], parents: list[int]) -> int:
    """Append a node after its children, and return its place."""
    below = [_lay_out(child, words, parents) for child in node.children]
    words.append(node.word)
    parents.append(-1)
    for place in below:
        parents[place] = len(words) - 1
    return len(words) - 1


def _nodes(tree: Node) -> Iterator[Node]:
    yield tree
    for child in tree.children:
        yield from _nodes(child)


def read_trees(text: str) -> list[Node]:
    """Return the trees of a text, one a line: "(label word)" or "(label tree tree)".

    Raises:
        ValueError: a line is no such tree; the message has its number.
    """
    trees = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                # A word may hold a blank of another kind, as in "8\u00a01/2".
                trees.append(_tree(re.findall(r"[()]|[^ ()]+", line)))
            except (IndexError, ValueError) as e:
                raise ValueError(f"line {number} is no tree: {line[:60]!r}") from e
    return trees


def _tree(marks: list[str]) -> Node:
    open_nodes: list[list[Any]] = [[]]
    for mark in marks:
        if mark == "(":
            open_nodes.append([])
        elif mark == ")":
            label, *rest = open_nodes.pop()
            is_word = len(rest) == 1 and isinstance(rest[0], str)
            if not rest or not (is_word or all(isinstance(part, Node) for part in rest)):
                raise ValueError("a node has neither a word nor nodes")
            if not 0 <= int(label) <= 4:
                raise ValueError("a label is not 0 to 4")
            word = rest[0].replace("\\/", "/").replace("\\*", "*") if is_word else None
            open_nodes[-1].append(Node(int(label), word, () if is_word else tuple(rest)))
        else:
            open_nodes[-1].append(mark)
    ((tree,),) = open_nodes
    if not isinstance(tree, Node):
        raise ValueError("it has no brackets")
    return tree
