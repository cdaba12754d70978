"""The store: records on disk, and an index that follows them."""

import dataclasses
import errno
import os
import random
import threading

import pytest
from sqlalchemy import select, update
from support.fake_records import fake_records, make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.results.database import reader
from rnnbench.results.record import Record, Status
from rnnbench.results.store import Store, result


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    yield store
    store.close()


def rows_of(store):
    query = select(result).order_by(result.c.run_id)
    with reader(store.engine).begin() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_what_is_written_can_be_read(store):
    record = make_record()
    assert store.write(record)
    assert store.read(record.run_id) == record
    assert list(store.records()) == [record]
    assert store.read("absent") is None
    assert store.finished("absent") is None


def test_the_index_has_a_wide_row_for_each_run(store):
    record = make_record(make_spec(tricks=("zoneout", "clip"), seed=3), 1.5)
    store.write(record)
    with store.engine.begin() as connection:
        row = connection.execute(select(result)).mappings().one()
    assert (row["task"], row["architecture"], row["tricks"]) == ("char-lm", "lstm", "zoneout+clip")
    assert (row["seed"], row["tested"], row["status"]) == (3, 1.5, "done")
    assert row["protocol_id"] == record.spec.protocol_id


@pytest.mark.parametrize("status", list(Status))
def test_only_endings_that_a_repetition_would_repeat_are_finished(store, status):
    record = make_record(status=status)
    store.write(record)
    repeats = {Status.DONE, Status.PRUNED, Status.NAN, Status.DIVERGED}
    assert (store.finished(record.run_id) is not None) == (status in repeats)


def test_a_lower_attempt_never_overwrites_a_higher_one(store):
    late = make_record(status=Status.CRASHED, attempt=2)
    assert store.write(late)
    assert not store.write(make_record(status=Status.CRASHED, attempt=1))
    assert not store.write(make_record(attempt=1))
    assert store.read(late.run_id) == late
    assert list(store.records()) == [late]


def test_a_done_record_is_never_overwritten_by_one_that_is_not_done(store):
    done = make_record(attempt=1)
    store.write(done)
    assert not store.write(make_record(status=Status.INTERRUPTED, attempt=5))
    assert store.read(done.run_id) == done
    assert store.write(make_record(value=1.4, attempt=2))


def test_records_come_in_one_order_and_can_be_chosen(store):
    records = fake_records()
    random.Random(1).shuffle(records)
    for record in records:
        store.write(record)
    records_found = list(store.records())
    assert len(records_found) == len(records)
    keys = [(r.spec.task.name, r.spec.architecture.name) for r in records_found]
    assert keys == sorted(keys)
    digits = list(store.records(task="digits"))
    assert digits == [r for r in records_found if r.spec.task.name == "digits"]
    assert list(store.records(status=Status.NAN)) == [
        r for r in records_found if r.status is Status.NAN
    ]
    assert list(store.records(sweep="another")) == []
    with pytest.raises(ValueError, match="finished"):
        list(store.records(status="finished"))


def test_reindexing_rebuilds_the_same_index(store):
    for record in fake_records():
        store.write(record)
    before = rows_of(store)
    with store.engine.begin() as connection:
        connection.execute(update(result).values(tested=0.0))
    assert store.reindex() == len(before)
    assert rows_of(store) == before


def test_the_index_follows_the_disk_by_itself(store, tmp_path):
    one, two = make_record(make_spec(seed=1)), make_record(make_spec(seed=2))
    store.write(one)
    store.write(two)
    other = Store(tmp_path / "other")
    source = store.run_dir(one.run_id) / "record.json"
    (other.run_dir(one.run_id) / "record.json").write_bytes(source.read_bytes())
    assert list(other.records()) == [one]  # a copied folder appears
    source.unlink()
    assert list(store.records()) == [two]  # a removed one disappears
    other.close()


def test_asked_for_one_task_the_index_follows_the_disk_on_that_task_alone(store, tmp_path):
    wanted, other = make_record(make_spec("adding")), make_record(make_spec("digits"))
    for record in (wanted, other):
        folder = store.root / "runs" / record.run_id
        folder.mkdir()
        (folder / "record.json").write_text(record.as_json())
    assert list(store.records(task="adding")) == [wanted]
    assert [row[0] for row in rows_of(store)] == [wanted.run_id]
    assert list(store.records()) == [wanted, other]
    (store.root / "runs" / wanted.run_id / "record.json").unlink()
    assert list(store.records(task="adding")) == []
    assert [row[0] for row in rows_of(store)] == [other.run_id]


def test_a_damaged_index_says_how_to_mend_it(store):
    store.write(make_record())
    with store.engine.begin() as connection:
        connection.execute(update(result).values(record="{}"))
    with pytest.raises(ValueError, match="rnnbench index"):
        list(store.records())


def test_a_damaged_record_is_reported_by_name_and_others_go_on(store):
    good, bad = make_record(make_spec(seed=1)), make_record(make_spec(seed=2))
    store.write(good)
    store.write(bad)
    path = store.run_dir(bad.run_id) / "record.json"
    path.write_text(path.read_text()[:-40])
    with pytest.warns(RuntimeWarning, match=rf"left out \(1\): .*{bad.run_id}.*not JSON"):
        assert store.reindex() == 1
    assert set(store.damaged) == {bad.run_id}
    with pytest.warns(RuntimeWarning, match="left out"):
        assert list(store.records()) == [good]
    with pytest.raises(ValueError, match=r"record\.json is damaged"):
        store.read(bad.run_id)


def test_a_record_in_the_folder_of_another_run_is_reported(store):
    record = make_record()
    store.write(record)
    path = store.run_dir("elsewhere") / "record.json"
    path.write_text(record.as_json())
    with pytest.raises(ValueError, match="describes another run"):
        store.read("elsewhere")


def test_a_full_disk_leaves_the_previous_state_readable(store, monkeypatch):
    old = make_record(status=Status.CRASHED, attempt=1)
    store.write(old)

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*record\.json: No space left"):
        store.write(make_record(attempt=2))
    monkeypatch.undo()
    assert store.read(old.run_id) == old
    assert list(store.records()) == [old]
    assert not list(store.run_dir(old.run_id).glob("*.tmp"))


def test_a_database_that_cannot_grow_loses_no_result_and_says_so(store):
    records = [make_record(make_spec(seed=seed)) for seed in range(40)]
    with store.engine.begin() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 9}")
    with pytest.warns(RuntimeWarning, match=r"results\.db refused .*disk is full.*safe on disk"):
        assert all([store.write(record) for record in records])
    with pytest.warns(RuntimeWarning, match=r"disk is full.*: reading the disk"):
        records_found = list(store.records(task="char-lm"))
    store.engine.dispose()  # the limit was that of the connection
    assert list(store.records()) == records_found
    assert sorted(r.spec.seed for r in records_found) == list(range(40))


def test_leftovers_of_a_killed_writer_are_swept(store):
    record = make_record()
    leftover = store.run_dir(record.run_id) / ".record.json.0123456789ab.tmp"
    leftover.write_text("half a rec")
    store.write(record)
    assert not leftover.exists()


@pytest.mark.parametrize(
    "name",
    ["..", ".hidden", "a/b", "/etc", "", "a b", "x\n", "${HOME}", "é", "a" * 129, "<script>"],
)
def test_names_that_could_lead_elsewhere_are_refused(store, name):
    with pytest.raises(ValueError, match="not allowed"):
        store.run_dir(name)
    with pytest.raises(ValueError, match="not allowed"):
        store.write(dataclasses.replace(make_record(), sweep=name))


def test_a_run_folder_that_is_a_link_out_of_the_store_is_refused(store, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "runs" / "x").symlink_to(tmp_path / "outside")
    with pytest.raises(ValueError, match="leads out of"):
        store.run_dir("x")


def test_threads_that_write_the_same_run_leave_the_latest_attempt(store):
    records = [make_record(status=Status.CRASHED, attempt=a) for a in range(1, 17)]
    threads = [threading.Thread(target=store.write, args=(r,)) for r in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records_found = store.read(records[0].run_id)
    assert isinstance(records_found, Record)
    assert records_found.attempt == 16
    assert list(store.records()) == [records_found]


def test_boards_from_the_store_are_those_of_the_records(store):
    records = fake_records()
    for record in records:
        store.write(record)
    assert build(store.records()) == build(records)
