"""Values typed on a command line: what a text means follows from the type of its field.

A field that takes text takes it as it stands, so that `task.delimiter=,`, `task.time=010` and
`task.time_format=%d/%m/%Y` need no quotes; where the whole text is quoted, the quotes are left
away. A field that takes a list takes `a,b` and `[a, b]`. Numbers, truth values and null are read
by the rules of YAML 1.2.
"""

from __future__ import annotations

import csv
import types
import typing
from typing import Any

import yaml

from rnnbench.errors import SpecError
from rnnbench.files.yaml_with_lines import YamlError, parse_yaml

NULLS = ("null", "Null", "NULL", "~")


class TypedText(str):
    """A value as it was typed, which waits for the type of its field."""

    __slots__ = ()


def read_value(text: str) -> Any:
    """Read a value by YAML 1.2: `3e-3` is a number, `null` is None, `no` is a word.

    Raises:
        SpecError: not YAML, or an interpolation.
    """
    try:
        return parse_yaml(text, "command line").value
    except YamlError as error:
        raise SpecError(f"{text!r} is not a value: {error}") from error


def read_typed(text: str, hint: Any) -> Any:
    """Read a typed text as the value of a field with this type hint.

    Returns:
        A value of the type where the text has one; otherwise what the text says by YAML, or the
        text, which the check of types then refuses.
    """
    members, words, element = members_of(hint), words_of(hint), element_of(hint)
    if type(None) in members and text.strip() in NULLS:
        return None
    if element is not None:
        return [read_typed(e, element) for e in split_list(text)]
    said = {str(word): word for word in words}
    for form in (text, text.strip(), unquoted(text)):
        if form in said:
            return said[form]
    if words and not text.strip() and type(None) in members:
        return None
    if words or (str in members and not {int, float, bool} & set(members)):
        return unquoted(str(text))
    try:
        return read_value(text)
    except SpecError:
        if "${" in text:
            raise
        return str(text)


def unquoted(text: str) -> str:
    """Return a text without the quotes that enclose the whole of it; other texts as they are."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        try:
            value = yaml.load(text, yaml.BaseLoader)
        except yaml.YAMLError:
            return text
        if isinstance(value, str):
            return value
    return text


def split_list(text: str) -> list[str]:
    """Return the elements of a list that was typed as `a,b` or as `[a, b]`, each as it stands."""
    stripped = text.strip()
    if stripped.startswith("[") and stripped.endswith("]"):
        try:
            elements = yaml.load(stripped, yaml.BaseLoader)  # where every scalar is its text
        except yaml.YAMLError:
            elements = None
        if isinstance(elements, list) and all(isinstance(e, str) for e in elements):
            return elements
    if not stripped:
        return []
    (elements,) = csv.reader([text], skipinitialspace=True)
    if len(elements) > 1 and not elements[-1].strip():
        elements.pop()  # `a,` is a list of one
    return elements


def members_of(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type alone."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(m for part in typing.get_args(hint) for m in members_of(part))
    return (hint,)


def words_of(hint: Any) -> tuple[Any, ...]:
    """Return the values of which a type names each, as `Literal["child-sum", "n-ary"]`."""
    return tuple(
        word
        for member in members_of(hint)
        if typing.get_origin(member) is typing.Literal
        for word in typing.get_args(member)
    )


def element_of(hint: Any) -> Any:
    """Return the type of the elements of a list; None where the type is no list."""
    for member in members_of(hint):
        if member is tuple or typing.get_origin(member) is tuple:
            return (typing.get_args(member) or (Any,))[0]
    return None
