"""Archives: members are taken out by name, and never leave the folder."""

import zipfile

import pytest

from rnnbench.data import DataError
from rnnbench.data.fetching import archives


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil", "a\\..\\evil", "C:evil", "a/../../b"])
def test_a_zip_member_that_leaves_the_folder_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as z:
        z.writestr("good.txt", "good")
        z.writestr(name, "evil")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="leaves the folder"):
        archives.unpack(tmp_path / "x.zip", ["good.txt"], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as z:
        z.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="not a regular file"):
        archives.unpack(tmp_path / "x.zip", ["link"], tmp_path)


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 100)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("bomb", b"0" * 101)
    with pytest.raises(DataError, match="too large"):
        archives.unpack(tmp_path / "x.zip", ["bomb"], tmp_path)


def test_a_path_that_matches_nothing_in_a_zip_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as z:
        z.writestr("a/one/b.txt", "1")
        z.writestr("a/two/b.txt", "2")
        z.writestr("a/two/c.txt", "3")
    with pytest.raises(DataError, match="nothing at 'a/three'"):
        archives.unpack(tmp_path / "x.zip", ["a/three"], tmp_path)
    archives.unpack(tmp_path / "x.zip", ["a/*/b.txt"], tmp_path / "out")
    found = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.txt")
    )
    assert found == ["a/one/b.txt", "a/two/b.txt"]
