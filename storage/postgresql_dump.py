"""PostgreSQL's own programs for a copy of a database and its way back.

They know every type, index and trigger, and follow the server's version. What they must
know of the connection goes through their environment, where a password is not in the
list of processes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy.engine import make_url


class DumpError(Exception):
    """A program is missing, or said no; the message says what."""


def dump(url: str, snapshot: str, target: Path) -> None:
    """Write what a snapshot of the database at ``url`` sees; raises DumpError."""
    words = ["--format=custom", "--no-owner", "--no-privileges"]
    words += [f"--snapshot={snapshot}", f"--file={target}"]
    _run("pg_dump", url, words)


def load(url: str, source: Path) -> None:
    """Bring a dump into the empty database at ``url``, whole or not at all."""
    words = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    name = make_url(url).database or ""
    _run("pg_restore", url, [*words, f"--dbname={name}", str(source)])


def _run(program: str, url: str, words: list[str]) -> None:
    found = shutil.which(program)
    if found is None:
        msg = f"{program} is not installed (Debian: postgresql-client)"
        raise DumpError(msg)
    done = subprocess.run(
        [found, *words],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **_environment(url)},
    )
    if done.returncode:
        raise DumpError(f"{program}: {done.stderr.strip()}")


def _environment(url: str) -> dict[str, str]:
    """Give a URL's parts as libpq's variables; what it leaves out stays libpq's."""
    parts = make_url(url)
    given = {
        "PGHOST": parts.host,
        "PGPORT": parts.port,
        "PGUSER": parts.username,
        "PGPASSWORD": parts.password,
        "PGDATABASE": parts.database,
        "PGSSLMODE": parts.query.get("sslmode"),
        "PGSSLROOTCERT": parts.query.get("sslrootcert"),
    }
    return {name: str(value) for name, value in given.items() if value is not None}
