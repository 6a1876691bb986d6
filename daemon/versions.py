"""The versions that matter when something is reported."""

from __future__ import annotations

import platform
from importlib import metadata, resources


def fairlane() -> str:
    """Return the version of this distribution."""
    try:
        return metadata.version("fairlane")
    except metadata.PackageNotFoundError:
        return "unknown"


def python() -> str:
    """Return the version of the interpreter."""
    return platform.python_version()


def sqlite() -> str:
    """Return the version of the SQLite that the stores use."""
    from pysqlite3 import dbapi2

    return str(dbapi2.sqlite_version)


def schema() -> str:
    """Return the revision of the tables that this version makes."""
    revisions = resources.files("storage.migrations") / "versions"
    names = (file.name for file in revisions.iterdir())
    return max(name[:4] for name in names if name[:4].isdecimal())


def line() -> str:
    """Return what ``--version`` prints."""
    return (
        f"fairlane {fairlane()} (Python {python()}, SQLite {sqlite()}, "
        f"schema {schema()})"
    )


def facts() -> dict[str, str]:
    """Return them all, as ``status`` shows them."""
    return {"fairlane": fairlane(), "python": python(), "sqlite": sqlite()}
