"""The site's files: how they are called, how large they are, and what a store gives them."""

import dataclasses
import re
import subprocess
import sys
import time

import pytest
from report.site_of import EVIL, EVIL_TASK, good, hostile
from support.fake_records import make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.report.site import names
from rnnbench.report.site.gather import Gathered, gather, latest, read_examples, version
from rnnbench.report.site.packing import pack_runs
from rnnbench.report.site.pages import Site
from rnnbench.report.site.writer import SiteError, write_site
from rnnbench.results.record import Status
from rnnbench.results.store import Store


def test_plain_names_are_file_names_and_odd_ones_are_spelt_without_what_is_odd():
    assert names.file_name("char-lm") == "char-lm"
    odd = ("../../etc/passwd", "A", "a", "a b", "a/b", "con", "", "é", EVIL, "x" * 300, ".hidden")
    made = [names.file_name(name) for name in odd]
    assert len(set(made)) == len(odd)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name) for name in made)
    assert not any(".." in name for name in made)


def test_a_run_is_linked_by_what_an_address_can_hold():
    assert names.run_link("char-lm", "a+b/<c>") == "run.html#char-lm/a+b%2F%3Cc%3E"


def test_a_site_is_written_and_what_an_older_one_had_is_removed(tmp_path):
    folder = tmp_path / "site"
    written = write_site(good(), folder)
    assert (folder / "index.html") in written
    less = dataclasses.replace(good(), boards=(), records=(), sweeps=())
    (folder / "data" / "mine.txt").write_text("kept")
    write_site(less, folder)
    left = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    assert left == {"index.html", "run.html", ".rnnbench-site.json", "data/mine.txt"}


def test_a_site_never_mixes_with_what_is_there(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(SiteError, match="holds something else"):
        write_site(good(), tmp_path)
    with pytest.raises(SiteError, match="is a file"):
        write_site(good(), tmp_path / "thesis.tex")
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_hostile_site_stays_in_its_folder(tmp_path):
    write_site(hostile(), tmp_path / "deep" / "site")
    assert [f.name for f in tmp_path.iterdir()] == ["deep"]
    assert [f.name for f in (tmp_path / "deep").iterdir()] == ["site"]
    stem = names.file_name(EVIL_TASK)
    assert (tmp_path / "deep" / "site" / "tasks" / f"{stem}.html").is_file()


def thousand():
    """A thousand runs on five tasks: twenty rows each, five trials and five seeds a row."""
    records = []
    for task in range(5):
        for place in range(20):
            tricks = ("zoneout", "clip", "layer-norm", "weight-drop", "recurrent-dropout")
            stack = tricks[: place % 5]
            spec = make_spec(f"task-{task}", f"cell-{place // 5}", stack)
            for number in range(5):
                lr = 1e-3 * (1 + number + place / 20)
                optimizer = dataclasses.replace(spec.optimizer, lr=lr)
                one = dataclasses.replace(spec, optimizer=optimizer, test=False)
                records.append(make_record(one, 1.5 + 0.01 * number))
                last = dataclasses.replace(spec, seed=number)
                records.append(make_record(last, 1.4 + 0.01 * place + 0.003 * number))
    return Gathered(build(records), records)


def test_a_thousand_runs_take_less_than_a_megabyte_beside_their_plots():
    gathered = thousand()
    assert len({r.run_id for r in gathered.records}) == 1000
    began = time.monotonic()
    site = Site(gathered)
    sizes = {path: len(site.render(path).encode()) for path in site.paths}
    assert time.monotonic() - began < 60  # some seconds on a machine of its own
    assert sum(size for path, size in sizes.items() if ".plots" not in path) < 1_000_000


def test_a_store_is_gathered_with_what_its_runs_kept(tmp_path):
    store = Store(tmp_path)
    record = make_record()
    store.write(record)
    folder = store.run_dir(record.run_id)
    (folder / "examples.json").write_text('{"format": 1, "examples": [{"kind": "text"}, 3]}')
    gathered = gather(store)
    assert gathered.tasks == ["char-lm"]
    assert gathered.examples(record.run_id) == [{"kind": "text"}]
    assert gathered.about["char-lm"].startswith("Predict the next character")
    assert gather(store, "adding").records == []
    store.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"examples": 3}', '{"examples": {"a": 1}}'])
def test_examples_that_are_none_are_left_out(tmp_path, text):
    store = Store(tmp_path)
    (store.run_dir("a-run") / "examples.json").write_text(text)
    assert read_examples(store, "a-run") == ()
    store.close()


def test_the_version_changes_with_a_record(tmp_path):
    store = Store(tmp_path)
    gather(store)
    before = version(store)
    assert version(store) == before
    store.write(make_record())
    assert version(store) != before
    store.close()


def test_of_several_attempts_of_a_run_the_latest_counts():
    first, second = make_record(status=Status.CRASHED), make_record(attempt=2)
    assert latest([second, first]) == [second]


def test_texts_that_runs_share_are_written_once():
    records = [make_record(make_spec(seed=seed)) for seed in range(9)]
    assert pack_runs("char-lm", records).count("valid_every") <= 1
    assert len(pack_runs("char-lm", records)) < len(pack_runs("char-lm", records[:1])) + 8 * 320


def test_a_site_is_written_without_torch_or_a_plugin_of_anybody(tmp_path):
    store = Store(tmp_path / "results")
    store.write(make_record())
    store.close()
    code = (
        "import sys\nfrom rnnbench.cli import main\n"
        f"main(['leaderboard', '--html', {str(tmp_path / 'site')!r}, '--out', "
        f"{str(tmp_path / 'results')!r}], standalone_mode=False)\n"
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('torch', 'optuna', 'ray', 'rnnbench_tasks', 'rnnbench_architectures')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "site" / "tasks" / "char-lm.html").is_file()
