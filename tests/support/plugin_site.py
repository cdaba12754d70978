"""Install plugins for a test, in a folder of their own on the path, and take them off again."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnnbench.registry.registry import discover, schema
from rnnbench.results import provenance

OURS = ("rnnbench_architectures", "rnnbench_tasks", "rnnbench_tricks")


def pip_install(folder, *projects: Path):
    """Install into a folder, built by the projects' own backend, without network."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--disable-pip-version-check", "--target", folder),
            *projects,
        ],
        check=True, capture_output=True, text=True,
    )  # fmt: skip


def run_tests(*arguments) -> dict[str, list[str]]:
    """Run some tests in this process; return their names by outcome."""
    outcomes: dict[str, list[str]] = {"passed": [], "skipped": [], "failed": []}

    class Recorder:
        def pytest_runtest_logreport(self, report):
            if report.when == "call" or report.outcome != "passed":
                outcomes[report.outcome].append(f"{report.nodeid}\n{report.longreprtext}")

    options = ["-q", "-p", "no:cacheprovider", "-W", "error"]
    code = pytest.main([*options, *map(str, arguments)], plugins=[Recorder()])
    assert code in (0, 1), f"pytest ended with {code!r}"
    return outcomes


class PluginSite:
    """A folder of installed distributions, seen by this process and by those that it starts."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        self.monkeypatch = monkeypatch
        self.forget()

    def add(self, project: Path):
        """Do as `pip install -e`: put metadata here, and the project's folder on the path."""
        about = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
        info = self.folder / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
        )
        points = [
            f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in of.items())
            for group, of in about["entry-points"].items()
        ]
        (info / "entry_points.txt").write_text("\n".join(points))
        self.monkeypatch.syspath_prepend(project.resolve())
        self.forget()

    def forget(self):
        """Let plugins and their versions be looked for anew."""
        for remembered in (discover, schema, provenance._distributions):
            remembered.cache_clear()


def plugin_site(folder, monkeypatch) -> Iterator[PluginSite]:
    """Yield an empty site to a fixture; put everything back when the test ends."""
    before = set(sys.modules)
    site = PluginSite(folder, monkeypatch)
    yield site
    for name in set(sys.modules) - before:
        if name.startswith("rnnbench_") and not name.startswith(OURS):
            del sys.modules[name]
    monkeypatch.undo()
    site.forget()
