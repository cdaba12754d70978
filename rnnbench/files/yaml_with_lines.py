"""YAML with places: plain values, and the line on which each one stands.

Values are read by the YAML 1.2 core rules, because those of YAML 1.1 betray the unwary: there
`1e-3` is a string, `on`, `no` and `y` are truth values, `1:30` is ninety. Keys that occur twice
(the last one would win, silently), aliases (a few lines can unfold to gigabytes), tags and
`${...}` are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from rnnbench.errors import UserError

Place = tuple[str | int, ...]  # ("search", "space", "optimizer.lr"), ("tasks", 0)


class YamlError(UserError, ValueError):
    """A file that cannot be read as it is written. The message names file, line and remedy."""


@dataclass(frozen=True)
class YamlText:
    """A parsed file: its plain value, where each part of it stands, and its text."""

    file: str
    value: Any
    lines: dict[Place, int] = field(repr=False)
    text: str = field(default="", repr=False)

    def at(self, *place: str | int) -> str:
        """Return "file:line" of a place, or of the closest part of it that is written down."""
        while place and place not in self.lines:
            place = place[:-1]
        return f"{self.file}:{self.lines.get(place, 1)}"

    def error(self, place: Place, message: str) -> YamlError:
        return YamlError(f"{self.at(*place)}: {message}")


class WrittenInt(int):
    """A whole number that is written in another way than Python would: 010, +5.

    Attributes:
        written: as it stands in the file, for a field that takes text.
    """

    def __init__(self, written: str) -> None:
        self.written = written


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of the YAML 1.2 core schema."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


for _tag, _pattern, _first in (
    ("null", r"^(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    (
        "float",
        r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def read_yaml(path: Path) -> YamlText:
    """Read one YAML file.

    Raises:
        YamlError: it cannot be read, is no YAML, or uses what is refused here.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise YamlError(f"{path}: cannot be read: {error}") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str) -> YamlText:
    """Parse YAML; `file` is what errors call it."""
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1
                raise YamlError(
                    f"{file}:{line}: the alias *{event.anchor} is refused: write its value out"
                )
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, file) from error
    except yaml.YAMLError as error:
        raise YamlError(f"{file}: is not YAML: {error}") from error
    lines: dict[Place, int] = {(): 1}
    value = None if root is None else _build(root, (), lines, file)
    return YamlText(file, value, lines, text)


def _syntax_error(error: yaml.MarkedYAMLError, text: str, file: str) -> YamlError:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return YamlError(f"{file}: is not YAML: {error}")
    written = text.splitlines()
    offending = written[mark.line] if mark.line < len(written) else ""
    why = ", ".join(p for p in (error.context, error.problem) if p)
    if error.context_mark is not None and error.context_mark.line != mark.line:
        why += f" (begun in line {error.context_mark.line + 1})"
    return YamlError(
        f"{file}:{mark.line + 1}:{mark.column + 1}: is not YAML: {why}\n"
        f"    {offending}\n    {' ' * mark.column}^"
    )


def _build(node: yaml.Node, place: Place, lines: dict[Place, int], file: str) -> Any:
    lines.setdefault(place, node.start_mark.line + 1)
    where = f"{file}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, where)
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_build(n, (*place, i), lines, file) for i, n in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode) or node.tag != "tag:yaml.org,2002:map":
        raise _strange_tag(node, where)
    value: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = _scalar(key_node, f"{file}:{line}") if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            raise YamlError(f"{file}:{line}: a key must be a word, got {key_node.value!r}")
        if key in value:
            first = lines[(*place, key)]
            raise YamlError(
                f"{file}:{line}: {key!r} is written twice (first in line {first}); keep one"
            )
        lines[(*place, key)] = line
        value[key] = _build(value_node, (*place, key), lines, file)
    return value


def _scalar(node: yaml.ScalarNode, where: str) -> Any:
    text, tag = node.value, node.tag.removeprefix("tag:yaml.org,2002:")
    if "${" in text:
        raise YamlError(f"{where}: {text!r}: '${{' is refused: write the value itself")
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        return int(text) if text == str(int(text)) else WrittenInt(text)
    if tag == "float":
        return float(re.sub(r"\.(inf|nan)", r"\1", text.lower()))
    if tag == "str":
        return text
    raise _strange_tag(node, where)


def _strange_tag(node: yaml.Node, where: str) -> YamlError:
    return YamlError(f"{where}: the tag {node.tag} is refused: write plain values")
