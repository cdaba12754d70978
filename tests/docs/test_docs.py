"""The documentation says what is so: its code runs, its commands print what it shows.

How a page is read, from top to bottom, in a folder and a namespace of its own:

- ```python is run. ```sh is run command by command: `rnnbench ...` in this process, and
  `pip install -e FOLDER` puts that folder on the path as an installer would.
- ```text right after either is what it printed; ```text that begins with "$ " is commands, each
  with its output. A line that is only "…" stands for any lines, and "…" within a line for any
  text; figures that differ from machine to machine are not shown.
- A command exits with 0, or with 2 where its output is shown to begin with "rnnbench: ".
- `<!-- file: PATH -->` before a block writes it to PATH as well.
- `<!-- generated: NAME -->` ... `<!-- end -->` is made by `rnnbench.docs.generate`; it
  is compared with the code and not run.
"""

import contextlib
import io
import os
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import ROOT
from support.plugin_site import plugin_site

from rnnbench.cli import main
from rnnbench.docs.generate import BLOCK as GENERATED
from rnnbench.docs.generate import BLOCKS, COMMAND, DOCS, fill
from rnnbench.registry.registry import discover
from rnnbench.sweep.file.sweep import parse_sweep

README = ROOT / "README.md"
PAGES = sorted(DOCS.rglob("*.md"))
DECISIONS = DOCS / "decisions"
NOT_RUN = {  # the README's first two blocks, which install and test all of this
    "python3 -m venv .venv && .venv/bin/pip install -q -c cluster/constraints.txt -e '.[test]'"
    " && .venv/bin/rnnbench sweep sweeps/quickstart.yaml",
    ".venv/bin/python -m pytest -n 3",
}
BLOCK = re.compile(
    r"(?:^<!-- file: (?P<file>\S+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)
name = {"ids": lambda path: str(path.relative_to(ROOT))}


@pytest.fixture
def reader(tmp_path, tmp_path_factory, monkeypatch):
    """An empty folder to work in, a terminal of 80 columns, and results of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("RNNBENCH_RESULTS", raising=False)
    yield from plugin_site(tmp_path_factory.mktemp("site"), monkeypatch)


@pytest.mark.parametrize("page", [README, *PAGES], **name)
def test_a_page_runs_as_it_stands(page, reader):
    namespace = {"__name__": "page"}
    for block in blocks(page):
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        if block.language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block.text, block.where, "exec"), namespace)
            compare(out.getvalue(), 0, block.shown, block.where)
        elif block.language == "sh":
            compare(*run(block.text, reader, block.where), block.shown, block.where)
        elif block.language == "text" and block.text.startswith("$ "):
            for session in re.split(r"(?m)^\$ ", block.text)[1:]:
                command, _, shown = session.partition("\n")
                compare(*run(command, reader, block.where), shown, block.where)
        else:
            assert block.language in ("yaml", "toml"), f"{block.where}: nobody can run this"


@dataclass
class Block:
    """A block of code.

    Attributes:
        file: that the page says it is.
        where: its place, for messages.
        shown: the ```text right after it.
    """

    language: str
    text: str
    file: str | None
    where: str
    shown: str | None = None


def blocks(page):
    """The hand-written blocks of a page, each with the output that is shown right after it."""
    text = page.read_text("utf-8")
    generated = [m.span() for m in GENERATED.finditer(text)]
    found, end = [], -1
    for m in BLOCK.finditer(text):
        if any(a <= m.start() < b for a, b in generated):
            continue
        where = f"{page.name}:{text.count(chr(10), 0, m.start()) + 1}"
        right_after = found and found[-1].shown is None and not text[end : m.start()].strip()
        if m["language"] == "text" and right_after:
            found[-1].shown = m["text"]
        else:
            found.append(Block(m["language"], m["text"], m["file"], where))
        end = m.end()
    return found


def run(script, site, where):
    """What the commands print, and the exit code of the last one."""
    printed, code = "", 0
    for line in script.replace("\\\n", " ").splitlines():
        if line in NOT_RUN:
            continue
        assert code == 0, f"{where}: a command before {line!r} ended with {code}:\n{printed}"
        program, *arguments = shlex.split(line)
        if program == "pip":
            assert arguments[:2] == ["install", "-e"], f"{where}: cannot do {line!r} here"
            site.add(Path(arguments[2]))
        else:
            assert program == "rnnbench", f"{where}: nobody runs {line!r}"
            result = CliRunner().invoke(main, arguments)
            if result.exception and not isinstance(result.exception, SystemExit):
                raise result.exception
            printed, code = printed + result.output, result.exit_code
    return printed, code


def compare(printed, code, shown, where):
    """Hold what was printed, and how it ended, against what the page shows."""
    expected = 2 if (shown or "").startswith("rnnbench: ") else 0
    assert code == expected, f"{where} ended with {code}:\n{printed}"
    if shown is not None:
        assert fits(printed, shown), f"{where} shows\n{shown}\nbut it printed\n{printed}"


def fits(printed, shown):
    """Whether the output is what is shown, "…" standing for any text or any lines."""
    parts = []
    for line in shown.strip("\n").split("\n"):
        if line.strip() == "…":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append(r"[^\n]*?".join(map(re.escape, line.rstrip().split("…"))) + r"\n")
    plain = "\n".join(line.rstrip() for line in printed.strip("\n").split("\n")) + "\n"
    return re.fullmatch("".join(parts), plain) is not None


@pytest.mark.parametrize(
    ("printed", "shown", "expected"),
    [
        ("a\nb\nc\n", "a\nb\nc\n", True),
        ("a\nb\nc\n", "a\n…\n", True),
        ("a\nb\nc\n", "…\nc\n", True),
        ("a\nb\nc\n", "a\n", False),
        ("loss 0.31 nats\n", "loss … nats\n", True),
        ("loss 0.31\nnats\n", "loss … nats\n", False),
        ("a  \nb\n", "a\nb\n", True),
    ],
)
def test_what_a_page_shows_is_compared_line_by_line(printed, shown, expected):
    assert fits(printed, shown) is expected


@pytest.mark.parametrize("page", PAGES, **name)
def test_the_generated_parts_are_those_of_the_code(page):
    text = page.read_text("utf-8")
    assert fill(text) == text, f"{page.name} differs from the code. Renew it with: {COMMAND}"


def test_a_generated_part_that_is_changed_by_hand_is_noticed():
    page = (DOCS / "plugins" / "tricks.md").read_text("utf-8")
    assert fill(page.replace("`zoneout`", "`zonein`", 1)) == page


def test_every_generated_part_stands_on_some_page():
    asked = {m[2] for page in PAGES for m in GENERATED.finditer(page.read_text("utf-8"))}
    assert asked == set(BLOCKS)


def test_the_reference_has_every_plugin_and_the_command_page_every_command():
    page = (DOCS / "reference" / "plugins.md").read_text("utf-8")
    for plugins in discover()[0].values():
        for item in plugins.values():
            assert (f"\n### {item.name}\n" in page) == (item.distribution == "rnnbench")
    page = (DOCS / "reference" / "commands.md").read_text("utf-8")
    for command in main.commands:
        assert f"\n## rnnbench {command}\n" in page


@pytest.mark.parametrize(
    "page", [README, *PAGES, *ROOT.glob("plugins/examples/*/README.md")], **name
)
def test_every_relative_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    relative = [link for link in links if not re.match(r"[a-z]+:", link)]
    missing = [link for link in relative if not (page.parent / link).exists()]
    assert missing == []


def test_the_readme_leads_to_every_page_and_to_the_decisions():
    text = README.read_text("utf-8")
    for page in (*(p for p in PAGES if p.parent != DECISIONS), DECISIONS / "README.md"):
        assert f"]({page.relative_to(ROOT)})" in text


def test_the_index_lists_every_page():
    pages = [p for p in PAGES if p != DOCS / "README.md"]
    listed = (DOCS / "README.md").read_text("utf-8") + "".join(
        line.replace("](", "](decisions/")
        for line in (DECISIONS / "README.md").read_text("utf-8").splitlines(keepends=True)
    )
    assert [p for p in pages if f"]({p.relative_to(DOCS)})" not in listed] == []


def test_a_decision_says_what_was_chosen_why_at_what_cost_on_what_evidence_and_when():
    labels = ["Choice", "Why", "Cost", "Evidence", "Date"]
    for page in DECISIONS.glob("*.md"):
        if page.name == "README.md":
            continue
        for decision in page.read_text("utf-8").split("\n## ")[1:]:
            title, _, text = decision.partition("\n")
            written = re.findall(r"(?m)^- \*\*(\w+)\*\*: \S", text)
            assert written == labels, f"{page.name}: {title}"
            assert re.search(r"\*\*Date\*\*: 20\d\d-\d\d-\d\d", text), f"{page.name}: {title}"


FILE = re.compile(r"`((?:rnnbench|plugins|tests|sweeps|cluster)/[\w./-]+\.\w+)(?:::?(\w+))?`")


def test_every_file_and_function_that_a_page_names_is_there():
    """Written `rnnbench/room/file.py:function` or `tests/room/test_file.py::test_name`."""
    for page in PAGES:
        for path, name in FILE.findall(page.read_text("utf-8")):
            assert (ROOT / path).exists(), f"{page.name} names {path}"
            if name:
                source = (ROOT / path).read_text("utf-8")
                defined = re.search(rf"(?m)^ *(?:async )?(?:def|class) {name}\b|^{name}\b", source)
                assert defined, f"{page.name} names {path}:{name}"


def test_what_is_not_run_still_stands_in_the_readme():
    assert set(README.read_text("utf-8").splitlines()) >= NOT_RUN


def test_the_readme_s_plugin_is_at_most_25_lines():
    (block,) = (b for b in blocks(README) if b.language == "python")
    assert block.text.count("\n") <= 25


def test_the_sweep_files_that_are_shown_can_be_read():
    page = (DOCS / "guides" / "sweeps.md").read_text("utf-8")
    shown = [b["text"] for b in BLOCK.finditer(page) if b["language"] == "yaml"]
    assert [parse_sweep(text).name for text in shown] == ["tiny", "quickstart", "aims"]


def test_no_page_takes_more_than_five_minutes_to_read():
    for page in PAGES:
        by_hand = GENERATED.sub("", page.read_text("utf-8"))
        assert len(by_hand.split()) < 1200, page.relative_to(DOCS)  # 240 words a minute


def test_the_example_s_entry_points_are_what_its_readme_lists():
    folder = ROOT / "plugins/examples/rnnbench-mgu"
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    listed = re.findall(
        r"(?m)^\| (\w+) \| `([\w-]+)` \|", (folder / "README.md").read_text("utf-8")
    )
    announced = [
        (group.removeprefix("rnnbench.")[:-1], plugin)
        for group, points in project["entry-points"].items()
        for plugin in points
    ]
    assert sorted(listed) == sorted(announced)
    assert os.fspath(folder.name) == project["name"]
