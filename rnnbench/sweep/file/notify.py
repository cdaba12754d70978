"""The key `notify` of a sweep file: whom to tell, and of what.

    notify: {command: mail -s rnnbench ann@example.org}     # gets the message on its input
    notify: {webhook: $TEAM_WEBHOOK, on: [end, failure]}    # gets {"text": ...} as JSON by POST

A value that begins with $ is the name of a variable of the environment, which keeps a secret
address out of the file, the database and the pages.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, fields
from typing import Any

from rnnbench.files.yaml_with_lines import Place
from rnnbench.registry.registry import did_you_mean
from rnnbench.sweep.file.reader import Reader

EVENTS = {
    "end": "the sweep came to its end",
    "failure": "it ended with an error, or without a result for a cell",
    "budget": "its budget is spent",
    "breaker": "infrastructure fails many trials alike, so that no more are started",
    "stop": "somebody stopped it",
}
USUAL = tuple(event for event in EVENTS if event != "stop")
VARIABLE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Notify:
    """Whom to tell of a sweep.

    Attributes:
        command: words of a command; (): none.
        webhook: http address, or $NAME; "": none.
        on: the events to tell of, of `EVENTS`.
    """

    command: tuple[str, ...] = ()
    webhook: str = ""
    on: tuple[str, ...] = USUAL


def read_notify(reader: Reader, place: Place, value: Any) -> Notify:
    """Read the key `notify` of a sweep file.

    Raises:
        SweepError: it cannot be as it is; the message names file and line.
    """
    entries = reader.mapping(place, value, [f.name for f in fields(Notify)])
    command = _read_command(reader, (*place, "command"), entries.get("command", []))
    webhook = entries.get("webhook", "")
    if "webhook" in entries and not _is_address(webhook):
        raise reader.error(
            (*place, "webhook"),
            "webhook is an address (https://...), or $NAME for a variable of the environment that "
            f"holds it; got {webhook!r}",
        )
    events = reader.sequence((*place, "on"), entries.get("on", list(USUAL)))
    for i, event in enumerate(events):
        if event not in EVENTS:
            told = "\n".join(f"  {name}: {what}" for name, what in EVENTS.items())
            near = did_you_mean(str(event), EVENTS)
            raise reader.error((*place, "on", i), f"unknown event {event!r}{near}\n{told}")
    if "on" in entries and not command and not webhook:
        raise reader.error((*place, "on"), "nobody would be told: give command, webhook, or both")
    return Notify(command, webhook, tuple(events))


def _read_command(reader: Reader, place: Place, value: Any) -> tuple[str, ...]:
    """Read a command: a line, or a list of words. No shell runs it."""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:  # a quote that is not closed
        raise reader.error(place, f"command: {error}: {value!r}") from error
    if isinstance(value, str) and (of_shell := _shell_syntax(value)):
        raise reader.error(
            place,
            f"command: no shell runs it, so {of_shell!r} would be a word of it; "
            f"write [sh, -c, {json.dumps(value)}], or a script of your own",
        )
    plain = isinstance(words, list) and all(isinstance(word, str) for word in words)
    if not plain or (not words and value != []):
        raise reader.error(place, f"command is a line or a list of words, got {value!r}")
    return tuple(words)


def _shell_syntax(line: str) -> str:
    """Return the first part of a line that only a shell would understand, or ""."""
    tokens = shlex.shlex(line, posix=True, punctuation_chars=True)
    tokens.whitespace_split, tokens.commenters = True, ""
    operator = next((t for t in tokens if t and not t.strip("();<>|&")), "")
    variable = re.search(r"\$[\w({@*#?!]+|`", line)
    return operator or (variable[0] if variable else "")


def _is_address(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return bool(re.match(r"https?://[^/\s]+", value) or VARIABLE.fullmatch(value))
