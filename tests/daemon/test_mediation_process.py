"""A mediation that is a process of its own: killed, broken, guided and traced."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from radius_packets import octets, packet
from rated_site import NETWORK, NOON, USER
from sqlalchemy import func, select

from config.network import Network, bodies
from config.schema import Settings
from daemon.ledger_role import Worker
from daemon.role import RoleContext, TraceFilter
from radius.records import Origin, encode_origin
from storage.balances import unrated
from storage.database import Database
from storage.journal import JournalWriter
from storage.ledger_proof import prove
from storage.network import Change, apply
from storage.quarantine import newest_quarantined, quarantined
from storage.tables import session, usage
from telemetry import metrics

_ORIGIN = encode_origin(Origin(b"\x7f\x00\x00\x01", 5000, "bng1"))
_BATCH = 16
_SESSIONS = 8
_GB = 10**9
_BROKEN = packet(9)[:2] + (21).to_bytes(2) + bytes(16) + b"\x01"


class _Role:
    """The ledger role's work on a journal of its own."""

    def __init__(self, database: Database, folder: Path) -> None:
        url = database.write.url.set(drivername="postgresql").render_as_string()
        self.events: list[dict[str, Any]] = []
        self.loop = asyncio.new_event_loop()
        self.context = RoleContext(
            name="ledger",
            index=0,
            settings=msgspec.convert(
                {
                    "data_dir": str(folder),
                    "database": url if database.is_postgresql else "sqlite",
                    "accounting": {"batch_records": _BATCH},
                },
                Settings,
            ),
            sockets={},
            send=self.events.append,
            loop=self.loop,
        )
        self.database = database
        self.worker = Worker(self.context)
        self.position = 1
        self._journal = JournalWriter(
            folder / "journal" / "radius-0", file_bytes=1 << 20
        )

    def write(self, *packets: bytes) -> None:
        """Journal packets, a block."""
        joined = b"".join(_ORIGIN + one for one in packets)
        at = (NOON + 7200) * 10**9
        self._journal.append(joined, records=len(packets), received_at_ns=at)
        self.position += len(packets)

    def work(self, before: Callable[[], None] = lambda: None) -> None:
        """Step until the journal is applied; ``before`` each step."""
        for _ in range(500):
            if self.worker.positions.get("radius-0", 1) == self.position:
                return
            before()
            self.worker.step()
        pytest.fail(f"{self.worker.positions}, {self.worker.failure}")

    def mediation(self) -> int:
        """The process that mediates, 0 when there is none."""
        pid = os.getpid()
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if (
                b"daemon.mediation_process"
                in Path(f"/proc/{child}/cmdline").read_bytes()
            ):
                return int(child)
        return 0

    def seen(self) -> dict[str, Any]:
        """What the operator is told of it."""
        return self.worker.mediation()

    def used(self) -> tuple[int, int, int]:
        """Sessions, records' octets and sessions' octets; the ledger must be whole."""
        with self.database.read.connect() as connection:
            assert [] == list(prove(connection).problems)
            row = connection.execute(
                select(
                    select(func.count()).select_from(session).scalar_subquery(),
                    select(func.sum(usage.c.output_octets)).scalar_subquery(),
                    select(func.sum(session.c.output_octets)).scalar_subquery(),
                )
            ).one()
        return int(row[0]), int(row[1] or 0), int(row[2] or 0)

    def close(self) -> None:
        """End it."""
        self.worker.close()
        self._journal.close()
        self.loop.close()


@pytest.fixture
def role(database: Database, tmp_path: Path) -> Iterator[_Role]:
    """A role whose network is the demo's."""
    _add(database, NETWORK, services=False)
    _add(database, NETWORK, services=True)
    made = _Role(database, tmp_path)
    yield made
    made.close()


def _metric(name: str) -> float:
    value = metrics.REGISTRY.get_sample_value(f"fairlane_mediation_{name}")
    assert value is not None
    return value


def _add(database: Database, network: Network, *, services: bool) -> None:
    changes = [
        Change("add", kind, name, body)
        for (kind, name), body in bodies(network).items()
        if (kind == "service") is services
    ]
    with database.write.begin() as connection:
        apply(connection, changes, NOON)


def _reports(step: int) -> list[bytes]:
    return [
        packet(
            number,
            status=3 if step else 1,
            acct_session_id=f"S-{number}",
            user_name=USER,
            event_at=NOON + 600 * step,
            session_seconds=600 * step if step else None,
            **(octets("output", step * _GB) if step else {}),
        )
        for number in range(_SESSIONS)
    ]


def test_nothing_is_lost_or_counted_twice_when_it_is_killed(role: _Role) -> None:
    """Between any two batches, while it is ahead: it starts from the database."""
    steps = 30
    for step in range(steps + 1):
        role.write(*_reports(step))
    killed = set()

    def kill() -> None:
        process = role.mediation()
        if process and len(killed) < 5:
            os.kill(process, signal.SIGKILL)
            killed.add(process)

    role.work(kill)
    assert 5 == len(killed)
    total = _SESSIONS * steps * _GB
    assert (_SESSIONS, total, total) == role.used()


def test_there_is_none_before_there_is_anything_to_mediate(role: _Role) -> None:
    """A site that serves addresses alone has no process for accounting."""
    role.worker.step()
    assert 0 == role.mediation()
    role.write(*_reports(0))
    role.work()
    assert 0 != role.mediation()


def test_it_ends_with_the_role(role: _Role) -> None:
    """Its socket is all that keeps it."""
    role.write(*_reports(0))
    role.work()
    process = role.mediation()
    role.worker.close()
    assert not Path(f"/proc/{process}").exists()


@pytest.mark.parametrize("engine", ["sqlite"])
def test_an_operator_sees_what_it_is_doing(role: _Role) -> None:
    """Whether there is one and whether it goes on, what it takes, what is asked."""
    starts = _metric("starts_total")
    assert (0, "not started") == (role.seen()["pid"], role.seen()["state"])
    role.write(*_reports(0))
    role.work()
    seen, process = role.seen(), role.mediation()
    assert process == seen["pid"]
    assert seen["state"] in ("running", "waiting")
    assert 1 == _metric("running")
    assert 2**20 < seen["resident_bytes"] == _metric("resident_bytes")
    assert 0 < seen["cpu_seconds"] <= _metric("cpu_seconds_total")
    assert 0 == seen["batches_ahead"] == _metric("batches_ahead")
    os.kill(process, signal.SIGSTOP)
    os.waitid(os.P_PID, process, os.WSTOPPED | os.WNOWAIT)
    assert "stopped" == role.seen()["state"]
    assert 0 == _metric("running")
    os.kill(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert "ended" == role.seen()["state"]
    role.write(*_reports(1))
    role.work()
    assert role.seen()["pid"] not in (0, process)
    assert 1 == _metric("running")
    assert 2 == _metric("starts_total") - starts


@pytest.mark.parametrize("engine", ["sqlite"])
def test_an_operator_sees_how_far_ahead_it_is(role: _Role) -> None:
    """While batches are full, three are asked for before another is booked."""
    for step in range(10):
        role.write(*_reports(step))
    ahead = set()
    role.work(lambda: ahead.add(role.seen()["batches_ahead"]))
    assert {0, 3} == ahead


def test_what_cannot_be_mediated_is_put_aside_and_the_rest_counts(role: _Role) -> None:
    """By the reason that was raised over there."""
    role.write(*_reports(0), *_reports(1))
    role.write(*_reports(2), _BROKEN, *_reports(3))
    role.write(*_reports(4))
    role.work()
    total = _SESSIONS * 4 * _GB
    assert (_SESSIONS, total, total) == role.used()
    with role.database.read.connect() as connection:
        assert 1 == quarantined(connection)
        kept = newest_quarantined(connection)
    assert kept is not None
    assert (4 * _SESSIONS - 7, _ORIGIN + _BROKEN) == (kept.position, kept.octets)
    assert kept.reason.startswith("IndexError")


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_service_that_comes_later_is_known_to_both(
    database: Database, tmp_path: Path
) -> None:
    """What waited is rated, and so is what the session uses from then on."""
    _add(database, NETWORK, services=False)
    role = _Role(database, tmp_path)
    role.write(*_reports(0), *_reports(1))
    role.work()
    _add(database, NETWORK, services=True)
    role.worker.step()
    role.write(*_reports(2))
    role.work()
    for _ in range(3):
        role.worker.step()
    with database.read.connect() as connection:
        assert [] == unrated(connection, 0, 100)
        tenants = select(session.c.service, session.c.tenant).distinct()
        assert [("aurora-101", "aurora")] == [*map(tuple, connection.execute(tenants))]
    role.close()


def test_a_live_trace_shows_what_became_of_each_record(role: _Role) -> None:
    """Once it is booked."""
    role.write(*_reports(0))
    role.work()
    role.context.tracing = TraceFilter(user=USER, until=NOON * 2.0)
    role.write(*_reports(1))
    role.work()
    role.loop.run_until_complete(asyncio.sleep(0))
    shown = [event["event"] for event in role.events if event.get("type") == "trace"]
    assert _SESSIONS == len(shown)
    assert {"use reported"} == {event["decision"] for event in shown}
