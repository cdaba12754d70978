"""Text files in blocks of characters: whole, or a stretch; decoded with care. No torch here."""

from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rnnbench.errors import DataError

__all__ = ["END", "Text", "TokenRecipe", "Unit", "cut"]

Unit = Literal["word", "character", "byte", "subword"]
SPLITS = ("train", "valid", "test")
END = "<eos>"  # the word that stands for the end of a line
BLOCK = 1 << 20  # bytes read at a time
LONGEST = 1 << 24  # characters of a line (or word) that has to be read whole


@dataclass(frozen=True)
class TokenRecipe:
    """How text becomes tokens.

    Attributes:
        files: of training, validation and test; or one, cut by `shares`. In the place of one there
            may be several, which are read one after the other.
        shares: of one file: of its characters that go to validation and test, from its end. A cut
            between words moves on to the next blank, and of subwords to the next line.
        unit: words between blanks with an END for each line; characters; bytes; or subwords with
            a stop symbol for each line.
        encoding: as Python names it; a byte order mark of UTF-8 is passed over. Line ends of
            any system become "\\n", unless bytes are read.
        strip: blanks at both edges of a line are no characters.
        unknown: words and characters may be outside the vocabulary, and are one symbol then.
        min_count: occurrences in the training text that a word or character needs to be in it.
        size: most symbols (of subwords: exactly), the commonest first; 0: all.
    """

    files: tuple[str | tuple[str, ...], ...]
    unit: Unit
    shares: tuple[float, float] = (0.0, 0.0)
    encoding: str = "utf-8"
    strip: bool = False
    unknown: bool = False
    min_count: int = 1
    size: int = 0
    algorithm: Literal["bpe", "unigram"] = "bpe"


@dataclass(frozen=True)
class Text:
    """A stretch of a file's characters, before blanks at the edges of lines are taken off.

    Attributes:
        path: of the file, or the first of several.
        further: the files after it.
    """

    path: Path
    recipe: TokenRecipe
    start: int = 0
    end: int | None = None
    further: tuple[Path, ...] = ()

    def decoded(self) -> Iterator[str]:
        """Yield the characters of all its files, of which each ends a line."""
        for i, path in enumerate((self.path, *self.further)):
            last = ""
            for block in _decode(path, self.recipe):
                yield block
                last = block[-1]
            if last not in ("", "\n") and i < len(self.further) and self.recipe.unit != "byte":
                yield "\n"

    def blocks(self) -> Iterator[str]:
        """Yield the text in blocks that end after a blank where the unit is not a character."""
        at, kept, lines = 0, "", 1
        for block in self.decoded():
            first, last = self.start - at, (len(block) if self.end is None else self.end - at)
            at += len(block)
            if last <= 0:
                break
            text = kept + block[max(0, first) : last]
            end = len(text)
            if self.recipe.unit == "subword" or self.recipe.strip:
                end = text.rfind("\n") + 1
            elif self.recipe.unit == "word":
                end = max(text.rfind("\n"), text.rfind(" ")) + 1
            kept = text[end:]
            if len(kept) > LONGEST:
                line = lines + text.count("\n", 0, end)
                raise DataError(
                    f"{self.path}, line {line} of this stretch has more than {LONGEST:,} characters"
                    f" without a place to cut it by {self.recipe.unit}. Break the line, or choose "
                    "task.unit=character or byte."
                )
            if end:
                self._check(text[:end], lines)
                lines += text.count("\n", 0, end)
                yield self._stripped(text[:end])
        line_ends = self.recipe.unit in ("word", "subword") or self.recipe.strip
        if kept:  # a last line that nothing ends is a line too
            self._check(kept, lines)
            yield self._stripped(kept + "\n" if line_ends else kept)

    def _check(self, text: str, lines: int) -> None:
        if self.recipe.unit == "word" and END in text:
            line = lines + text.count("\n", 0, text.index(END))
            raise DataError(
                f"{self.path}, line {line} of this stretch holds {END}, the word that stands for "
                "the end of a line. Take it out: each line gets one."
            )

    def _stripped(self, text: str) -> str:
        if not self.recipe.strip:
            return text
        return "".join(line.strip() + "\n" for line in text[:-1].split("\n"))


def _decode(path: Path, recipe: TokenRecipe) -> Iterator[str]:
    """Yield the characters of a file; bytes as latin-1 has them."""
    encoding = "latin-1" if recipe.unit == "byte" else recipe.encoding
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise DataError(f"{path}: there is no encoding {encoding!r}") from None
    decoder = codecs.getincrementaldecoder("utf-8-sig" if name == "utf-8" else name)()
    if recipe.unit != "byte":
        decoder = io.IncrementalNewlineDecoder(decoder, translate=True)  # type: ignore[assignment]
    lines = 1
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as f:
            while True:
                raw = f.read(BLOCK)
                text = decoder.decode(raw, final=not raw)
                if text:
                    yield text
                lines += text.count("\n")
                if not raw:
                    return
    except UnicodeDecodeError as e:
        # The decoder holds back a "\r", whose line is counted with the bytes before the error.
        line = lines + bytes(e.object[: e.start]).replace(b"\r\n", b"\n").count(b"\n")
        byte = bytes(e.object[e.start : e.start + 1]).hex()
        raise DataError(
            f"{path}, line {line}: the byte 0x{byte} is not {encoding} ({e.reason}). Give the "
            "encoding that the file has, such as task.encoding=latin-1, or mend the line."
        ) from e
    except (gzip.BadGzipFile, EOFError, OSError) as e:
        raise DataError(f"{path} cannot be read: {e}") from e


def cut(text: Text) -> list[Text]:
    """Cut one text into three, one after the other."""
    total = sum(map(len, text.decoded()))
    valid, test = text.recipe.shares
    places = [int(total * share + 1e-6) for share in (1 - valid - test, 1 - test)]
    ends = {"word": (" ", "\n"), "subword": ("\n",)}.get(text.recipe.unit, ())
    if text.recipe.strip:
        ends = ("\n",)
    a, b = (_end_after(text, place, ends) if ends else place for place in places)
    pieces = ((0, a), (a, b), (b, total))
    for split, (start, end) in zip(SPLITS, pieces, strict=True):
        if end <= start:
            raise DataError(
                f"{text.path} is too short to be cut: of its {total:,} characters none is left "
                f"for {split}. Give valid and test files, or other shares."
            )
    return [Text(text.path, text.recipe, start, end, text.further) for start, end in pieces]


def _end_after(text: Text, place: int, ends: tuple[str, ...]) -> int:
    """Return the place behind the first of some characters at or after another."""
    at = 0
    for block in text.decoded():
        places = [block.find(end, max(0, place - at)) for end in ends]
        if max(places) >= 0:
            return at + min(f for f in places if f >= 0) + 1
        at += len(block)
    return at
