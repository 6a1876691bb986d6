"""A ledger on a network with services and tariffs, and one NAS that reports to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from radius_packets import octets, packet
from sqlalchemy import select

from config.loader import load_network
from config.network import bodies
from config.schema import AccountingSettings
from daemon.ledger import Ledger
from radius.records import Origin, encode_origin
from storage.balances import unrated
from storage.database import Database
from storage.entry_queries import EntryFilter, list_entries
from storage.journal import Block
from storage.ledger_proof import prove
from storage.tables import session as sessions
from storage.tables import usage as usages

_DEMO = load_network(Path(__file__).parents[1] / "config" / "demo-network.toml")
NETWORK = msgspec.structs.replace(
    _DEMO,
    service=tuple(
        msgspec.structs.replace(row, offering="home-500")
        if row.name == "aurora-101"
        else row
        for row in _DEMO.service
    ),
)
"""The demo's, with 500 GB included for its first subscriber."""
NOON = 1_795_604_400
"""2026-11-25 12:00 in Stockholm: day, in the demo's tariffs."""
KEY = bytes(32)
GB = 10**9
USER = "sub101@aurora.example"


class Site:
    """A ledger on a database, and one NAS that reports to it."""

    def __init__(self, database: Database, network: Any = NETWORK) -> None:
        self.database = database
        self.ledger = Ledger(database, AccountingSettings(), KEY)
        self.apply_network(network)
        self._position = 1
        self.received_at = NOON + 7200

    def apply_network(self, network: Any) -> None:
        """Let the ledger know a network."""
        self.network = network
        self.ledger.know(bodies(network))

    def report(self, *packets: bytes) -> None:
        """Apply packets as one batch."""
        origin = encode_origin(Origin(b"\x7f\x00\x00\x01", 5000, "bng1"))
        blocks = []
        for octets_ in packets:
            at = self.received_at * 10**9
            blocks.append(Block(self._position, 1, at, origin + octets_))
            self._position += 1
        self.ledger.apply("radius-0", blocks)

    def use(self, *gigabytes: int, session: str = "S-1", **values: Any) -> None:
        """Report a session's counter at 10 minute steps, each in a batch of its own."""
        for step, total in enumerate(gigabytes, start=1):
            self.report(interim(step, total * GB, session=session, **values))

    def entries(self) -> list[tuple[Any, ...]]:
        """Give tenant, service and the five legs of every entry."""
        with self.database.read.connect() as connection:
            assert [] == list(prove(connection).problems)
            return [
                (e.book.tenant, e.posting.service, *e.posting[1:6])
                for e, _ in list_entries(connection, EntryFilter())
            ]

    def waiting(self) -> list[tuple[str | None, str, str]]:
        """Give service, state and reason of the usage that waits."""
        with self.database.read.connect() as connection:
            return [(u.service, u.state, u.reason) for u in unrated(connection, 0, 100)]

    def session(self) -> tuple[Any, ...]:
        """Give service, what named it and tenant of the session, and the usage's."""
        with self.database.read.connect() as connection:
            table = sessions.c
            query = select(table.service, table.guided_by, table.tenant)
            row = connection.execute(query).one()
            its = set(connection.scalars(select(usages.c.tenant)))
            return (*row, its)


def interim(step: int, total: int, session: str = "S-1", **values: Any) -> bytes:
    """Make the Interim-Update of a session that began at noon."""
    values = {"user_name": USER} | values
    return packet(
        step % 256,
        status=3,
        acct_session_id=session,
        event_at=NOON + 600 * step,
        session_seconds=600 * step,
        **octets("input", 0),
        **octets("output", total),
        **values,
    )
