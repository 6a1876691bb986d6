"""``fairlane doctor``: looks for what will cause trouble, and says what to do.

Each check is a row of a table and gives one finding; a check that breaks is a finding
too. Exit code 0 when nothing is bad, 1 when something is; a warning is not bad.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import click
import msgspec

from config.loader import ConfigurationError
from config.network import warnings
from daemon import clock, preparation, versions
from daemon.commands.options import configuration_option, json_option
from daemon.commands.tables import table
from daemon.control_socket import NotRunning, ask
from daemon.preparation import Plan
from daemon.stores import StoreError, opened
from storage.access_state import AccessState
from storage.backup_mark import last_backup
from storage.database import StorageError, check_writable
from storage.keys import KeyFileError, left_behind, load_keys
from storage.quarantine import newest_quarantined, quarantined

# The fix of the write-ahead log's corruption when two connections checkpoint.
SQLITE_OLDEST = (3, 51, 3)
DISK_FREE_SHARE_MIN = 0.10
LAG_RECORDS_MAX = 100_000
BACKUP_DAYS_MAX = 7
# 2025-01-01: no clock that was ever set shows less.
CLOCK_EARLIEST = 1_735_689_600
RMEM_MAX = Path("/proc/sys/net/core/rmem_max")


class Level(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    level: Level
    text: str


@click.command()
@configuration_option
@json_option
def command(configuration: Path | None, *, as_json: bool) -> None:
    """Look for what will cause trouble."""
    found = examine(configuration)
    if as_json:
        for name, finding in found.items():
            click.echo(msgspec.json.encode({"check": name, **asdict(finding)}))
    else:
        for line in table([[f.level, name, f.text] for name, f in found.items()]):
            click.echo(line)
    raise SystemExit(any(f.level is Level.BAD for f in found.values()))


def examine(configuration: Path | None) -> dict[str, Finding]:
    """Run every check; without a valid configuration there is only one."""
    try:
        plan = preparation.load(configuration)
    except ConfigurationError as error:
        text = "; ".join(str(problem) for problem in error.problems)
        return {"configuration": Finding(Level.BAD, text)}
    found = {"configuration": Finding(Level.OK, f"valid, digest {plan.digest}")}
    for name, check in CHECKS.items():
        try:
            found[name] = check(plan)
        except OSError as error:
            found[name] = Finding(Level.BAD, str(error))
    return found


def _sqlite(plan: Plan) -> Finding:
    version = versions.sqlite()
    if tuple(map(int, version.split("."))) < SQLITE_OLDEST:
        return Finding(Level.BAD, f"{version} can corrupt its log; install pysqlite3")
    return Finding(Level.OK, version)


def _disk(plan: Plan) -> Finding:
    usage = shutil.disk_usage(_existing(plan.data_dir))
    share = usage.free / usage.total
    text = f"{share:.0%} of the disk of {plan.data_dir} is free"
    bad = share < DISK_FREE_SHARE_MIN
    return Finding(Level.BAD if bad else Level.OK, text)


def _secrets(plan: Plan) -> Finding:
    if plan.network is None:
        return Finding(Level.OK, "no network file is configured")
    found = [str(caution) for caution in warnings(plan.network)]
    owners = defaultdict(list)
    for nas in plan.network.nas:
        for secret in nas.keys():  # noqa: SIM118 - not a dict
            owners[secret].append(nas.name)
    found += [
        f"the same secret at {', '.join(names[:5])}"
        + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        for names in owners.values()
        if len(names) > 1
    ]
    if found:
        return Finding(Level.WARNING, "; ".join(found[:10]))
    return Finding(Level.OK, f"{len(plan.network.nas)} NAS, no weak or shared secret")


def _signatures(plan: Plan) -> Finding:
    if plan.network is None:
        return Finding(Level.OK, "no network file is configured")
    allowed = {
        nas.name: nas.message_authenticator
        for nas in plan.network.nas
        if nas.message_authenticator != "require"
    }
    if AccessState.is_there(plan.data_dir):
        state = AccessState(plan.data_dir)
        allowed = {n: p for n, p in allowed.items() if n not in state.learned}
        state.close()
    if allowed:
        listed = ", ".join(f"{name} ({policy})" for name, policy in allowed.items())
        return Finding(Level.WARNING, f"may send unsigned Access-Requests: {listed}")
    return Finding(Level.OK, "every NAS has to sign its Access-Requests")


def _key(plan: Plan) -> Finding:
    try:
        load_keys(plan.settings)
    except KeyFileError as error:
        # Without a configured file, the first run makes one.
        made = not plan.settings.access.key_file
        return Finding(Level.WARNING if made else Level.BAD, str(error))
    if (old := left_behind(plan.settings)) is not None:
        text = (
            f"{old} is another key than the one that is used: what was sealed with it"
            " cannot be opened; use it, or set those passwords again and remove it"
        )
        return Finding(Level.WARNING, text)
    return Finding(Level.OK, "readable")


def _clock(plan: Plan) -> Finding:
    now = clock.now()
    if now < CLOCK_EARLIEST:
        return Finding(Level.BAD, "the clock was never set; sessions get wrong times")
    newest = max(
        (path.stat().st_mtime for path in plan.data_dir.glob("journal/*/*")),
        default=0.0,
    )
    if newest > now + 60:
        return Finding(Level.BAD, f"the journal is {newest - now:.0f} s in the future")
    return Finding(Level.OK, "set, and not behind the journal")


def _database(plan: Plan) -> Finding:
    if plan.settings.database == "sqlite" and not plan.data_dir.exists():
        return Finding(Level.WARNING, f"{plan.data_dir} is made by the first run")
    try:
        with opened(plan) as database:
            check_writable(database)
    except StoreError as error:
        return Finding(Level.BAD, str(error))
    return Finding(Level.OK, "writable")


def _quarantine(plan: Plan) -> Finding:
    if plan.settings.database == "sqlite" and not plan.data_dir.exists():
        return Finding(Level.OK, "nothing was applied yet")
    try:
        with opened(plan) as database, database.read.connect() as connection:
            records, newest = quarantined(connection), newest_quarantined(connection)
    except StoreError as error:
        return Finding(Level.BAD, str(error))
    except StorageError as error:
        return Finding(Level.BAD, str(error).splitlines()[0])
    if newest is None:
        return Finding(Level.OK, "no record was put aside")
    return Finding(
        Level.BAD,
        f"{records} records could not be applied and count for nothing; the last is"
        f" {newest.position} of {newest.journal}: {newest.reason.splitlines()[0]}",
    )


def _backup(plan: Plan) -> Finding:
    at = last_backup(plan.data_dir)
    if at is None:
        return Finding(Level.WARNING, "none was made: fairlane backup FILE")
    days = int(clock.now() - at) // 86400
    level = Level.WARNING if days > BACKUP_DAYS_MAX else Level.OK
    return Finding(level, f"the last one is {days} days old")


def _receive_buffer(plan: Plan) -> Finding:
    wanted = plan.settings.radius.receive_buffer_bytes
    limit = int(RMEM_MAX.read_text())
    if limit < wanted:
        return Finding(
            Level.WARNING,
            f"net.core.rmem_max is {limit}, receive_buffer_bytes {wanted}: bursts are "
            f"lost unless systemd binds; sysctl -w net.core.rmem_max={wanted}",
        )
    return Finding(Level.OK, f"up to {limit} bytes")


def _daemon(plan: Plan) -> Finding:
    try:
        answer = next(ask(plan.data_dir, {"command": "status"}), {})
    except NotRunning as error:
        return Finding(Level.WARNING, str(error))
    if answer.get("digest") != plan.digest:
        return Finding(Level.WARNING, "runs with another configuration: reload it")
    if not answer.get("ready"):
        lame = [role["role"] for role in answer["roles"] if not role["healthy"]]
        return Finding(Level.BAD, "not ready: " + ", ".join(lame))
    return Finding(Level.OK, f"ready, process {answer['pid']}")


def _journal_lag(plan: Plan) -> Finding:
    try:
        answer = next(ask(plan.data_dir, {"command": "status"}), {})
    except NotRunning:
        return Finding(Level.OK, "not measured: no daemon runs")
    lags: dict[str, int] = {}
    for role in answer.get("roles", []):
        lags |= role["detail"].get("journal_lag_records", {})
    worst = max(lags.values(), default=0)
    text = ", ".join(f"{name} {lag} records" for name, lag in lags.items()) or "none"
    return Finding(Level.BAD if worst > LAG_RECORDS_MAX else Level.OK, text)


def _existing(path: Path) -> Path:
    return next(p for p in [path, *path.parents] if p.exists())


CHECKS: dict[str, Callable[[Plan], Finding]] = {
    "sqlite": _sqlite,
    "disk": _disk,
    "clock": _clock,
    "secrets": _secrets,
    "signatures": _signatures,
    "key": _key,
    "receive buffer": _receive_buffer,
    "database": _database,
    "quarantine": _quarantine,
    "backup": _backup,
    "daemon": _daemon,
    "journal lag": _journal_lag,
}
