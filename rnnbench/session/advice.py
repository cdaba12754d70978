"""Adds to errors what their advice is in Python, where it is given as a command."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from rnnbench.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")

COMMANDS = (
    (r"rnnbench list (architectures|tasks|tricks) --site (\w+)", r"rb.list('\1', site='\2')"),
    (r"rnnbench list (architectures|tasks|tricks)(?! --)", r"rb.list('\1')"),
    (r"rnnbench list\b(?! (?:architectures|tasks|tricks))", "rb.list()"),
    (r"rnnbench describe ([\w-]+)", r"rb.describe('\1')"),
    (r"rnnbench predict \S+ --input \S+", "run.predict(x)"),
    (r"rnnbench leaderboard ([\w-]+)", r"rb.leaderboard('\1')"),
    (r"--trick ([\w-]+)", r"tricks=['\1']"),
    (r"--margin ([\w.]*[\w%])(?![\w.%]*:)", r"margin='\1'"),
    (r"--max-length\b", "max_length=..."),
    (r"--length\b", "length=..."),
    (r"\b((?:task|architecture|optimizer|budget|trainer|tricks)\.[\w.-]+)=(?=\S)",
     r"settings={'\1': ...}"),
)  # fmt: skip


def in_python(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, with notes on its errors that say their advice in Python."""

    @functools.wraps(function)
    def called(*args: P.args, **options: P.kwargs) -> R:
        try:
            return function(*args, **options)
        except UserError as error:
            if not getattr(error, "__notes__", None):
                for note in notes_on(str(error)):
                    error.add_note(note)
            raise

    return called


def notes_on(message: str) -> Iterator[str]:
    """Yield what a message's advice is in Python; nothing where it is that already."""
    said = dict.fromkeys(
        match.expand(python)
        for command, python in COMMANDS
        for match in re.finditer(command, message)
    )
    said = {text: None for text in said if text not in message}
    if said:
        yield f"In Python: {'; '.join(said)}"
    rest = message
    for command, _ in COMMANDS:
        rest = re.sub(command, "", rest)
    if re.search(r"\brnnbench [a-z]", rest):
        yield "What begins with rnnbench is typed in a terminal; in a notebook, after a !"
