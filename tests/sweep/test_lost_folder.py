"""A sweep whose results are deleted under it ends with an error, and not with success."""

import shutil
import threading
import time

import pytest
from support.fake_work import starts
from support.small_sweeps import SWEEP, run

from rnnbench.results.folder_watch import FolderWatch, LostFolderError

SLOW = SWEEP.replace("[easy]", "[{name: easy, seconds: 0.5}]")


@pytest.mark.parametrize("victim", [".", "results.db", "runs"])
def test_a_sweep_ends_when_its_results_are_deleted(tmp_path, victim):
    root = tmp_path / "results"

    def delete():
        while not (root.exists() and starts(root)):
            time.sleep(0.05)
        place = root / victim
        place.rename(tmp_path / "trash")
        if (tmp_path / "trash").is_dir():
            shutil.rmtree(tmp_path / "trash", ignore_errors=True)

    thread = threading.Thread(target=delete)
    thread.start()
    try:
        with pytest.raises(LostFolderError, match="while it was in use"):
            run(SLOW, root)
    finally:
        thread.join()


def test_a_folder_that_was_replaced_is_noticed_and_one_that_is_there_is_not(tmp_path):
    kept, replaced, never = tmp_path / "kept", tmp_path / "replaced", tmp_path / "never"
    kept.mkdir()
    replaced.mkdir()
    watch = FolderWatch([kept, replaced, never])
    watch.raise_if_gone()
    replaced.rename(tmp_path / "other")
    replaced.mkdir()
    with pytest.raises(LostFolderError, match="replaced was replaced by another one"):
        watch.raise_if_gone()
