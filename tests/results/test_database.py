"""The results database: versions, other parts' tables, many processes, networks."""

import multiprocessing
import os
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, text, update
from support.fake_records import make_record, make_spec

from rnnbench.results.database import create_tables, open_database, reader, schema_version
from rnnbench.results.record import Status
from rnnbench.results.sql_index import VERSION
from rnnbench.results.store import Store, metadata, result
from rnnbench.sweep.ledger.ledger import Ledger
from rnnbench.sweep.ledger.tables import create_sweep_tables, trial


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    yield store
    store.close()


def rows_of(store):
    query = select(result).order_by(result.c.run_id)
    with reader(store.engine).begin() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_a_database_of_a_newer_version_is_refused(store, tmp_path):
    with store.engine.begin() as connection:
        connection.execute(update(schema_version).values(version=99))
    with pytest.raises(ValueError, match=r"version 99.*upgrade rnnbench"):
        Store(tmp_path)


def test_an_older_index_is_made_anew_from_the_disk(store, tmp_path):
    record = make_record()
    store.write(record)
    with store.engine.begin() as connection:
        connection.execute(text("DROP TABLE result"))
        connection.execute(text("CREATE TABLE result (run_id TEXT, something TEXT)"))
        connection.execute(update(schema_version).values(version=0))
    newer = Store(tmp_path)
    assert list(newer.records()) == [record]
    newer.close()


def test_older_tables_of_sweeps_are_migrated_and_keep_their_trials(tmp_path):
    engine = open_database(tmp_path / "results.db")
    create_sweep_tables(engine)
    values = {
        "key": "s/c/0", "sweep": "s", "study": "c", "stage": "search", "number": 0, "spec": "{}",
        "run_id": "r", "params": "{}", "state": "done", "attempt": 1, "deaths": 0, "curve": "[]",
        "costs": '{"steps": 9}', "notes": "{}",
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(trial).values(**values))
        connection.execute(text("ALTER TABLE trial DROP COLUMN costs"))
        mine = schema_version.c.component == "sweeps"
        connection.execute(update(schema_version).where(mine).values(version=1))
    create_sweep_tables(engine)
    (row,) = Ledger(engine, "s", "me").rows()
    assert (row.key, row.state, row.costs) == ("s/c/0", "done", {})
    with engine.begin() as connection:
        connection.execute(update(schema_version).where(mine).values(version=0))
    with pytest.raises(ValueError, match="no way to version"):
        create_sweep_tables(engine)
    engine.dispose()


def test_other_parts_keep_their_tables_and_version_in_the_same_database(store):
    own = MetaData()
    table = Table("thing", own, Column("id", Integer, primary_key=True))
    for _ in range(2):
        create_tables(store.engine, own, "things", 7)
    with store.engine.begin() as connection:
        connection.execute(insert(table).values(id=1))
    create_tables(store.engine, metadata, "results", VERSION)
    assert store.reindex() == 0
    with reader(store.engine).begin() as connection:
        assert connection.execute(select(table.c.id)).scalars().all() == [1]
        versions = dict(map(tuple, connection.execute(select(schema_version))))
    assert versions == {"results": VERSION, "things": 7}


def test_a_path_where_a_url_belongs_is_refused():
    with pytest.raises(ValueError, match="not a database URL"):
        open_database("results.db")


def test_commits_are_made_to_last(store):
    with store.engine.begin() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2


def _write_many(root, writer):
    store = Store(root)
    for seed in range(4):
        assert store.write(make_record(make_spec(seed=100 * writer + seed)))
    store.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_sixteen_processes_write_at_once_and_none_finds_the_database_locked(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(tmp_path, w)) for w in range(16)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 16
    store = Store(tmp_path)
    assert len(list(store.records())) == 64
    assert len(rows_of(store)) == 64
    store.close()


def test_a_forked_child_does_not_use_its_parents_connections(store):
    store.write(make_record(make_spec(seed=1)))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if store.write(make_record(make_spec(seed=2))) else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert len(list(store.records())) == 2


def test_a_shared_database_keeps_the_rows_of_other_machines(tmp_path):
    url = f"sqlite:///{tmp_path}/shared.db"
    here, there = Store(tmp_path / "here", url), Store(tmp_path / "there", url)
    done = make_record(attempt=2)
    there.write(done)
    assert not here.write(make_record(status=Status.CRASHED, attempt=3))
    assert list(here.records()) == [done]
    assert not list((tmp_path / "here").glob("runs/*/record.json"))
    here.close()
    there.close()


@pytest.mark.parametrize(
    ("folder", "mode"),
    [("/home/me", "wal"), ("/shared/results", "delete"), ("/shared/disk", "wal"), ("/sh", "wal")],
)
def test_a_database_on_a_network_disk_has_no_log_of_one_host(folder, mode):
    from rnnbench.results.database import journal_mode

    mounts = (
        "/dev/sda / ext4 rw 0 0\nserver:/x /shared nfs4 rw 0 0\n"
        "/dev/sdb /shared/disk xfs rw 0 0\nserver:/y /my\\040disk cifs rw 0 0\n"
    )
    assert journal_mode(Path(folder) / "results.db", mounts) == mode
    assert journal_mode(Path("/my disk/results.db"), mounts) == "delete"
