"""The encoding of a token where a model reads it: one-hot, learned, or a word vector."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Kind, Port, Refusal, Task, Trick, in_dry_run, setting
from rnnbench.data import DataError
from rnnbench.data.text.word_vectors import learn_vectors, read_vectors, require_gensim, sha256_of
from rnnbench.nn import Embed, Model

Side = Literal["source", "target"]

# What each kind reads besides `kind`: anything else that is set is refused.
_USED = {
    "one-hot": {"side"},
    "learned": set(),
    "file": {"side", "tuned", "path", "format", "sha256", "min_coverage"},
    "word2vec": {"side", "tuned", "dimensions", "window", "epochs", "algorithm"},
}
_SHOWN = 8  # examples of missing words in a message


class Encoded(nn.Embedding):
    """An embedding of given vectors: e_t = P v(x_t), without P if the widths agree.

    It is an embedding to whoever looks for one: `weight` is the whole table (V, E), made when
    asked for. Nobody can put another table in its place.

    Args:
        vectors_VK: one for each class.
        width: E, what the model reads.
        tuned: they are learnt on; else they are a buffer and no parameter.
    """

    def __init__(self, vectors_VK: Tensor, width: int, tuned: bool):
        nn.Module.__init__(self)  # an Embedding's own would draw a table to learn
        self.num_embeddings, own = vectors_VK.shape
        self.embedding_dim = width
        self.padding_idx = self.max_norm = None
        self.norm_type, self.scale_grad_by_freq, self.sparse = 2.0, False, False
        if tuned:
            self.vectors = nn.Parameter(vectors_VK)
        else:
            self.register_buffer("vectors", vectors_VK)
        like = {"device": vectors_VK.device, "dtype": vectors_VK.dtype}
        self.project = nn.Linear(own, width, bias=False, **like) if own != width else None

    def forward(self, x: Tensor) -> Tensor:
        v = F.embedding(x, self.vectors)
        return v if self.project is None else self.project(v)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        return self.vectors if self.project is None else self.project(self.vectors)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "weight":  # tied weights would throw the vectors away
            raise Refusal(
                "encoding gives the embedding vectors of its own, and another trick, such as "
                "tied-weights, gives it another table.\n  Drop one of them."
            )
        super().__setattr__(name, value)

    def reset_parameters(self) -> None:
        raise Refusal(
            "encoding gives the embedding vectors of its own, and another trick draws it anew.\n"
            "  List encoding after that trick, or drop one of them."
        )


@dataclass(frozen=True)
class Encoding(Trick):
    """Tokens enter the model one-hot, by a learned table, or as word vectors, frozen or tuned.

    - `learned`: the table of the architecture, as it is without this trick.
    - `one-hot`: component i of token i is 1, so that W_x picks its columns. It needs an
      `architecture.embedding` of at least the number of classes; what is beyond stays 0.
    - `file`: vectors from a word2vec or GloVe file. A class is looked up as the task spells it
      (`Task.words`), then in lower case. `sha256` is the file's, so that a run's identity
      depends on what it holds. `min_coverage` is the share of the training split's tokens that
      are found, of those that are words.
    - `word2vec`: vectors learnt beforehand, on the sequences of the training split (of a stream,
      the rows of its chunks), a side by itself; five negative samples, frequent tokens subsampled
      at 0.001. The run's seed is theirs.

    A class without a vector gets a random one: each component normal, with the mean and the
    deviation of that component over the vectors that there are. It is frozen or tuned with the
    others. Vectors of another width than the embedding's go through a learned linear map without
    bias. The decoder's inputs are the side `target`, all else is the side `source`; the only
    embedding of a language model reads the source.

    Null value: kind = learned, and all else at its default.

    Source: Mikolov et al. (2013), arXiv:1301.3781 and arXiv:1310.4546, for word2vec and its file
    formats; Pennington, Socher & Manning (2014), doi:10.3115/v1/D14-1162, for GloVe.
    """

    tiny: ClassVar[Mapping[str, Any]] = {"kind": "word2vec", "dimensions": 4, "epochs": 1}
    null: ClassVar[Mapping[str, Any] | None] = {
        "kind": "learned", "side": "source", "tuned": False, "path": "",
        "format": "word2vec-text", "sha256": "", "min_coverage": 0.5,
        "dimensions": 100, "window": 5, "epochs": 5, "algorithm": "cbow",
    }  # fmt: skip

    kind: Literal["one-hot", "learned", "file", "word2vec"] = setting(
        "word2vec", "what stands for a token"
    )
    side: Literal["source", "target", "both"] = setting("source", "the tokens of which side")
    tuned: bool = setting(False, "vectors are learnt on; false: frozen")
    path: str = setting("", "of kind=file: the file, unpacked or .gz")
    format: Literal["word2vec-text", "word2vec-binary", "glove"] = setting(
        "word2vec-text", "of kind=file; glove has no first line of counts"
    )
    sha256: str = setting("", "of kind=file: the file's, which a refusal without it tells")
    min_coverage: float = setting(
        0.5, "of kind=file: least share of the training tokens found", low=0.0, high=1.0
    )
    dimensions: int = setting(100, "of kind=word2vec: width of the vectors", low=1)
    window: int = setting(
        5, "of kind=word2vec: greatest distance of a context", unit="tokens", low=1
    )
    epochs: int = setting(5, "of kind=word2vec: passes over the training split", low=1)
    algorithm: Literal["cbow", "skip-gram"] = setting("cbow", "of kind=word2vec")

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        self._refuse_unused()
        sides: tuple[Side, ...] = ("source", "target") if self.side == "both" else (self.side,)
        for side in sides:
            if not (task.source if side == "source" else task.target).classes:
                raise Refusal(
                    f"encoding acts on tokens; side={side} of {task.name} is real values.\n"
                    "  Choose another encoding:side or task, or drop encoding."
                )
        if self.kind == "learned":
            return model
        embeds = [(side, embed) for side in sides for embed in self._embeds(model, task, side)]
        for side, embed in embeds:
            table = embed.map.weight
            assert isinstance(table, Tensor)
            vectors_VK = self._vectors(task, side, table)
            embed.map = Encoded(vectors_VK, table.shape[1], self.tuned)
        return model

    def _refuse_unused(self) -> None:
        away = [f.name for f in dataclasses.fields(self) if getattr(self, f.name) != f.default]
        unused = [name for name in away if name not in ("kind", *_USED[self.kind])]
        if self.kind == "one-hot" and self.tuned:
            raise Refusal(
                "encoding: one-hot vectors that are tuned are a learned table.\n"
                "  Set encoding:kind=learned, or encoding:tuned=false."
            )
        if unused:
            raise Refusal(
                f"encoding: kind={self.kind} does not use {', '.join(unused)}.\n"
                f"  Drop {'it' if len(unused) == 1 else 'them'}, or choose another kind."
            )

    def _embeds(self, model: nn.Module, task: Task, side: Side) -> list[Embed]:
        """Return the embeddings of one side.

        Raises:
            Refusal: it has none, or one that another trick has changed.
        """
        embeddings = {
            name: m for name, m in model.named_modules()
            if isinstance(m, Embed) and _reads(name, model) == side
        }  # fmt: skip
        if not embeddings:
            raise Refusal(
                f"encoding: side={side}, and this model has no embedding that reads the {side} of "
                f"{task.name}, or an earlier trick wrapped it.\n"
                "  Set another encoding:side, list encoding before other tricks, or drop it."
            )
        for name, embed in embeddings.items():
            # Its exact type: a wrapped, parametrised or encoded table is another.
            owners = [n for n, p in model.named_parameters(remove_duplicate=False)
                      if p is getattr(embed.map, "weight", None)]  # fmt: skip
            if type(embed.map) is not nn.Embedding or len(owners) != 1:
                what = f"shares a table: {', '.join(owners)}" if len(owners) > 1 else "was changed"
                raise Refusal(
                    f"encoding gives {name} vectors of its own, and an earlier trick, such as "
                    f"tied-weights, changed it: it {what}.\n"
                    "  Drop one of them, or list encoding first."
                )
        return list(embeddings.values())

    def _vectors(self, task: Task, side: Side, table_VE: Tensor) -> Tensor:
        """Return the vectors (V, K), on the device of the table; a dry run learns nothing."""
        classes, width = table_VE.shape
        like: Any = {"device": table_VE.device, "dtype": table_VE.dtype}
        if self.kind == "one-hot":
            if width < classes:
                raise Refusal(
                    f"encoding: a one-hot vector of {task.name}'s {side} has {classes} components, "
                    f"and the model reads vectors of {width}.\n"
                    f"  Set architecture.embedding={classes}; of an architecture without that "
                    f"setting, architecture.hidden={classes}."
                )
            return torch.eye(classes, width, **like)
        try:
            if self.kind == "word2vec":
                if side == "source" and task.kind is Kind.VEC_TO_SEQ:
                    raise Refusal(
                        f"encoding: word2vec learns from sequences; the source of {task.name} is "
                        "one vector.\n  Choose encoding:kind=one-hot or learned."
                    )
                if table_VE.is_meta or in_dry_run():
                    require_gensim()
                    return torch.randn(classes, self.dimensions, **like)
                seed = torch.initial_seed()  # the run's, whatever the architecture has drawn
                at_N, vectors_NK = _learnt(task, side, self.dimensions, self.window, self.epochs,
                                           self.algorithm, seed)  # fmt: skip
            else:
                at_N, vectors_NK = self._read(task, side)
        except DataError as error:
            raise Refusal(f"encoding: {error}.\n  Mend that, or choose another kind.") from error
        if table_VE.is_meta:
            return torch.empty(classes, vectors_NK.shape[1], **like)
        given_NK = torch.tensor(vectors_NK, **like)
        mean_K, deviation_K = given_NK.mean(0), given_NK.std(0, correction=0)
        vectors_VK = mean_K + deviation_K * torch.randn(classes, len(mean_K), **like)
        vectors_VK[torch.from_numpy(at_N)] = given_NK
        return vectors_VK

    def _read(self, task: Task, side: Side) -> tuple[np.ndarray, np.ndarray]:
        """Return the classes (N,) that the file has a vector for, and these vectors (N, K)."""
        words = task.words(side)
        if words is None:
            raise Refusal(
                f"encoding: the tokens of {task.name}'s {side} have no names to look up in a file."
                "\n  Choose encoding:kind=word2vec, which learns vectors without names."
            )
        if not self.path:
            raise Refusal("encoding: kind=file needs a file.\n  Set encoding:path=FILE.")
        path = Path(self.path).expanduser()
        stamp = (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else (0, 0)
        actual = _digest(path, stamp)
        if actual != self.sha256:
            said = f"has another sha256 than {self.sha256}" if self.sha256 else "needs its sha256"
            raise Refusal(
                f"encoding: {path} {said}, on which the run's identity rests.\n"
                f"  Set encoding:sha256={actual}, if this is the file you mean."
            )
        at_N, vectors_NK = _looked_up(path, stamp, self.format, tuple(words))
        count_V = _counts(task, side)
        named_V = np.array([word != "" for word in words])
        total = int(count_V[named_V].sum())
        coverage = float(count_V[at_N].sum()) / total if total else 0.0
        if not len(at_N) or coverage < self.min_coverage:
            count_V = count_V * named_V
            count_V[at_N] = 0
            commonest = [v for v in np.argsort(-count_V, kind="stable")[:_SHOWN] if count_V[v]]
            raise Refusal(
                f"encoding: {path} has vectors for {coverage:.1%} of the words in the training "
                f"split of {task.name} ({side}), and min_coverage is {self.min_coverage:.1%}; "
                f"commonest missing: {', '.join(repr(words[v]) for v in commonest)}.\n"
                "  Choose a file of this language and kind of token, or lower "
                "encoding:min_coverage."
            )
        return at_N, vectors_NK


def _reads(name: str, model: nn.Module) -> Side:
    """Return the side that an embedding reads, by its name in core's and our wirings."""
    last = name.rpartition(".")[2]
    if last in ("source_embed", "condition"):
        return "source"
    if last == "embed":
        return "target" if isinstance(model, Model) and model.decodes else "source"
    raise Refusal(
        f"encoding cannot tell which side the embedding {name!r} of {type(model).__name__} reads."
        "\n  Ask its author to call it source_embed or embed, or drop encoding."
    )


def _sequences(task: Task, side: Side, seed: int) -> Iterator[list[int]]:
    """Yield the rows of the training split in evaluation order, without padding."""
    data = task.data("train", seed)
    for key in data.order(task.eval_batch, None):
        batch = data.batch(key, None)
        tokens, len_B = (batch.x, batch.x_len) if side == "source" else (batch.y, batch.y_len)
        rows = tokens.reshape(len(tokens), -1).tolist()
        lengths = [None] * len(rows) if len_B is None else len_B.tolist()
        yield from (row[:length] for row, length in zip(rows, lengths, strict=True))


class _Sentences:
    """The training rows as text, as often as they are asked for; tokens go by their numbers."""

    def __init__(self, task: Task, side: Side, seed: int):
        port: Port = task.source if side == "source" else task.target
        self.task, self.side, self.seed = task, side, seed
        self.words: Sequence[str] = [str(v) for v in range(port.classes)]

    def __iter__(self) -> Iterator[list[str]]:
        for row in _sequences(self.task, self.side, self.seed):
            yield [self.words[v] for v in row]


# What a process has worked out already: the dry run and the run, or a sweep's trials, ask again.


@lru_cache(maxsize=4)
def _learnt(
    task: Task, side: Side, width: int, window: int, epochs: int,
    algorithm: Literal["cbow", "skip-gram"], seed: int,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    vectors = learn_vectors(_Sentences(task, side, seed), width, window=window, epochs=epochs,
                          algorithm=algorithm, seed=seed)  # fmt: skip
    return np.array([int(word) for word in vectors]), np.stack(list(vectors.values()))


@lru_cache(maxsize=4)
def _counts(task: Task, side: Side) -> np.ndarray:
    """Return how often each class occurs in the training split: (V,)."""
    port = task.source if side == "source" else task.target
    count_V = np.zeros(port.classes, np.int64)
    for row in _sequences(task, side, seed=0):
        count_V += np.bincount(row, minlength=port.classes)
    return count_V


@lru_cache(maxsize=4)
def _digest(path: Path, stamp: tuple[int, int]) -> str:
    """Return the sha256 of a file of this size and time of change."""
    return sha256_of(path)


@lru_cache(maxsize=4)
def _looked_up(
    path: Path, stamp: tuple[int, int], format: Any, words: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of words that a file has, as spelt or in lower case, and their vectors."""
    wanted = {spelt for word in words if word for spelt in (word, word.lower())}
    width, vectors = read_vectors(path, format, wanted)
    rows = [vectors.get(word, vectors.get(word.lower())) if word else None for word in words]
    at = [v for v, row in enumerate(rows) if row is not None]
    kept = [row for row in rows if row is not None]
    return np.array(at, np.int64), np.stack(kept) if kept else np.zeros((0, width), np.float32)
