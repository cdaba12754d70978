"""Opens the results database, for the store and for the ledger of sweeps.

SQLite: write-ahead log, `synchronous=FULL` (a commit that was acknowledged survives a power
cut), a wait of 60 s for the lock, and write transactions that take it at their start: SQLite
gives up at once, without waiting, where a read transaction turns into a writing one. On a network
disk, where the log would be one host's, SQLite's rollback journal takes its place. For drivers on
several machines use a server, such as PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from rnnbench.errors import UserError
from rnnbench.results.provenance import redact

WAIT_SECONDS = 60
NETWORKS = (
    "nfs",
    "cifs",
    "smb",
    "fuse",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "9p",
    "afs",
    "glusterfs",
)
ADVISORY_LOCK = 0x726E6E62656E6368  # "rnnbench": held by whoever creates tables on a server

# Text of any length, and names that differ in case alone told apart, on MySQL too.
LONG = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
EXACT: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
# The driver of each server, and the extra that brings it.
DRIVERS = {"postgresql": ("psycopg", "postgresql"), "mysql": ("pymysql", "mysql")}
DRIVERS["mariadb"] = DRIVERS["mysql"]
# So that a server whose machine or network is gone is noticed: without them it takes minutes.
TIMEOUTS: dict[str, dict[str, int]] = {
    "psycopg": {"connect_timeout": 10, "tcp_user_timeout": 30_000},
    "pymysql": {"connect_timeout": 10},
}

_versions = MetaData()
schema_version = Table(
    "schema_version",
    _versions,
    Column("component", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
)

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_parents_pools: list[Any] = []


class DatabaseError(UserError, ValueError):
    """A results database that cannot be used as it was asked for; the message says why."""


def open_database(where: str | Path) -> Engine:
    """Return an engine on a SQLite file (a Path), or on any database by its SQLAlchemy URL.

    `with engine.begin() as connection:` is a write transaction; use `reader(engine)` to read.

    Raises:
        DatabaseError: text that is not a URL, or one of a database that is not known here.
    """
    if isinstance(where, str) and "://" not in where:
        raise DatabaseError(f"{where!r} is not a database URL such as postgresql://host/name")
    # A file is not written as a URL, in which `?` and `%` have a meaning.
    url = URL.create("sqlite", database=str(where)) if isinstance(where, Path) else where
    try:
        backend = make_url(url).get_backend_name()
    except (ArgumentError, ValueError) as error:  # a port that is no number is a ValueError
        raise DatabaseError(f"{redact(str(where))!r} is not a database URL: {error}") from error
    engine = _open_sqlite(url) if backend == "sqlite" else _open_server(url)
    _engines.add(engine)
    return engine


def reader(engine: Engine) -> Engine:
    """Return the same engine for transactions that only read, and so don't wait for writers."""
    return engine.execution_options(sqlite_begin="DEFERRED")


Migration = Callable[[Any], None]
"""Takes `alembic.operations.Operations`, by which every database is changed in one way."""


def create_tables(
    engine: Engine,
    metadata: MetaData,
    component: str,
    version: int,
    migrations: Mapping[int, Migration] | None = None,
) -> None:
    """Create the missing tables of a part of rnnbench, and bring older ones up to date.

    Args:
        component: the part, such as "results"; each has its own version.
        migrations: version n -> what makes version n + 1 of it, in the same transaction. None:
            the tables are an index, which is made anew from what it indexes.
    Raises:
        DatabaseError: the tables were made by a newer rnnbench, or by one too old to be migrated.
    """
    if _version_of(engine, component) == version:
        return  # without waiting for whoever writes at the moment
    with engine.begin() as connection, _lock_tables(connection):
        _versions.create_all(connection)
        of_component = schema_version.c.component == component
        version_there = connection.execute(
            select(schema_version.c.version).where(of_component)
        ).scalar()
        if version_there == version:
            return
        if version_there is None:
            metadata.create_all(connection)
            row = {"component": component, "version": version}
            connection.execute(insert(schema_version), row)
            return
        if version_there > version:
            raise DatabaseError(
                f"the {component} tables of {engine.url.render_as_string()} have version "
                f"{version_there}, and this rnnbench uses version {version}: upgrade rnnbench, or "
                "give it another database"
            )
        if migrations is None:
            metadata.drop_all(connection)
        else:
            _migrate(connection, component, version_there, version, migrations)
        metadata.create_all(connection)
        connection.execute(update(schema_version).where(of_component).values(version=version))


def _version_of(engine: Engine, component: str) -> int | None:
    """Return the version of a part's tables; None where they are not there. Writes nothing."""
    with reader(engine).begin() as connection:
        if not inspect(connection).has_table(schema_version.name):
            return None
        query = select(schema_version.c.version).where(schema_version.c.component == component)
        return connection.execute(query).scalar()


def _migrate(
    connection: Connection, component: str, version_there: int, version: int,
    migrations: Mapping[int, Migration],
) -> None:  # fmt: skip
    for old in range(version_there, version):
        if old not in migrations:
            raise DatabaseError(
                f"the {component} tables of {connection.engine.url.render_as_string()} have "
                f"version {version_there}, from which there is no way to version {version}: move "
                "the database away"
            )
        migrations[old](_alembic_operations(connection))


def _alembic_operations(connection: Connection) -> Any:
    from alembic.operations import Operations  # 0.1 s, for what is hardly ever needed
    from alembic.runtime.migration import MigrationContext

    return Operations(MigrationContext.configure(connection))


@contextlib.contextmanager
def _lock_tables(connection: Connection) -> Iterator[None]:
    """Keep other processes from creating tables; SQLite's write transactions are alone anyway."""
    name = connection.dialect.name
    if name == "postgresql":  # until the end of the transaction
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    if name not in ("mysql", "mariadb"):
        yield
        return
    connection.execute(text("SELECT GET_LOCK('rnnbench', 60)"))
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK('rnnbench')"))


def add_driver(url: str | URL) -> URL:
    """Return an address with the driver that rnnbench installs, where it names none.

    Raises:
        sqlalchemy.exc.ArgumentError: it is no address.
    """
    address = make_url(url)
    if address.drivername not in DRIVERS:
        return address
    return address.set(drivername=f"{address.drivername}+{DRIVERS[address.drivername][0]}")


def _open_server(url: str | URL) -> Engine:
    address = add_driver(url)
    try:
        given = TIMEOUTS.get(address.get_driver_name(), {})
        return create_engine(
            address,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            connect_args={k: v for k, v in given.items() if k not in address.query},
        )
    except ModuleNotFoundError as error:
        extra = DRIVERS.get(address.get_backend_name(), ("", ""))[1]
        how = f"pip install 'rnnbench[{extra}]'" if extra else f"install {error.name}"
        raise DatabaseError(
            f"{address.drivername} needs {error.name}, which is missing: {how}"
        ) from error
    except NoSuchModuleError as error:
        raise DatabaseError(f"no database is called {address.drivername}: {error}") from error


def _open_sqlite(url: str | URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": WAIT_SECONDS})
    file = make_url(url).database

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where `begin` below says so
        mode = journal_mode(Path(file)) if file else ""
        if file and connection.execute("PRAGMA journal_mode").fetchone()[0] != mode:
            # Turning the log on needs the file alone, and SQLite doesn't wait for that.
            with FileLock(f"{file}.lock"):
                connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def journal_mode(file: Path, mounts: str | None = None) -> str:
    """Return "wal", or "delete" on a network disk: the log's index is memory of one host.

    Args:
        mounts: as /proc/mounts tells them; None: those of this machine.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text(encoding="utf-8")
        except OSError:  # not Linux
            return "wal"
    folder, kind = file.absolute().parent, ""
    longest = -1
    for line in mounts.splitlines():
        _, mount_point, file_system, *_ = line.split()
        mount_point = mount_point.replace("\\040", " ")
        if folder.is_relative_to(mount_point) and len(mount_point) >= longest:
            longest, kind = len(mount_point), file_system
    return "delete" if kind.startswith(NETWORKS) else "wal"


def _forget_connections() -> None:
    """Drop, in a forked child, its parent's connections, which are not to be used, nor closed."""
    for engine in list(_engines):
        _parents_pools.append(engine.pool)
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_connections)
