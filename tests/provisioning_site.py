"""A small network with orders on it: what the tests of provisioning share.

Two ISPs, a BSP, lines and sites; adapters that remember what they were asked and do as
a test tells them; a subscriber whose packets come when a test says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from netaddr import IPAddress
from sqlalchemy import insert

from config.offers import Service
from provisioning.order import Order
from provisioning.outcomes import Done, Outcome
from services import orders
from services.actor import Actor
from services.adapters import Ports
from services.order_assessment import Keys
from services.order_manager import Call, Step, settle, step
from services.orders import Placed
from services.provisioning import Provisioning, Transaction
from storage import network
from storage.database import Database
from storage.lease_tables import lease
from storage.order_queries import Filter
from storage.sites import put_sites
from storage.tables import SESSION_COLUMNS, session

START = 1_790_000_000
AURORA = Actor("aurora-system", "aurora", "rest")
BOREALIS = Actor("borealis-system", "borealis", "rest")
STAFF = Actor("clara", "network", "console", "aurora")

OBJECTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("area", {"name": "harbour"}),
    ("area", {"name": "hills"}),
    ("isp", {"name": "aurora", "realms": ["aurora.example"]}),
    (
        "isp",
        {
            "name": "borealis",
            "realms": ["borealis.example"],
            "contracts": ["harbour"],
            "approves_identities": True,
        },
    ),
    ("bsp", {"name": "filmhouse"}),
    (
        "pool",
        {
            "name": "aurora-harbour",
            "area": "harbour",
            "isp": "aurora",
            "prefixes": ["100.64.0.0/29"],
        },
    ),
    (
        "pool",
        {
            "name": "borealis-harbour",
            "area": "harbour",
            "isp": "borealis",
            "prefixes": ["100.64.16.0/20"],
        },
    ),
    (
        "pool",
        {
            "name": "garden",
            "area": "harbour",
            "walled_garden": True,
            "prefixes": ["10.0.0.0/16"],
        },
    ),
    ("node", {"name": "olt1", "area": "harbour", "ports": 6}),
    *(
        (
            "line",
            {
                "name": f"line{n}",
                "area": "harbour",
                "node": "olt1",
                "site": f"site{n}",
                "circuit_id": f"ge-0/0/1:{n}",
            },
        )
        for n in range(1, 5)
    ),
    (
        "offering",
        {"name": "home-500", "isp": "aurora", "down_kbps": 500_000, "up_kbps": 100_000},
    ),
    (
        "offering",
        {
            "name": "home-films",
            "isp": "aurora",
            "down_kbps": 500_000,
            "up_kbps": 100_000,
            "device": True,
            "components": [{"bsp": "filmhouse", "product": "basic"}],
        },
    ),
    (
        "offering",
        {
            "name": "polar-100",
            "isp": "borealis",
            "down_kbps": 100_000,
            "up_kbps": 50_000,
        },
    ),
)


def fill(database: Database) -> None:
    """Make the network and its sites."""
    made = [network.Change("add", kind, body["name"], body) for kind, body in OBJECTS]
    with database.write.begin() as connection:
        network.apply(connection, made, START)
        put_sites(
            connection,
            [
                {
                    "name": f"site{n}",
                    "area": "harbour",
                    "node": "olt1",
                    "address": f"{n} Quay Street, Porthaven 4711",
                }
                for n in range(1, 9)
            ],
        )


def body(
    external_id: str = "A-1",
    *,
    line: str = "line1",
    offering: str = "home-500",
    user: str = "sub1@aurora.example",
    **more: str,
) -> dict[str, Any]:
    """The order of a PPPoE service on a known line, as an ISP sends it."""
    said = {"userName": user, "password": "s3cret-word", **more}
    return {
        "externalId": external_id,
        "serviceOrderItem": [
            {
                "id": "1",
                "action": "add",
                "service": {
                    "serviceSpecification": {"name": offering},
                    "place": [{"role": "line", "name": line}],
                    "serviceCharacteristic": [
                        {"name": name, "value": value} for name, value in said.items()
                    ],
                },
            }
        ],
    }


def on_connection(sent: dict[str, Any], token: str) -> dict[str, Any]:
    """Make an order client software's: for the line that its connection proves."""
    (item,) = sent["serviceOrderItem"]
    place = [{"role": "connection", "name": token}]
    service = item["service"] | {"place": place}
    return sent | {"serviceOrderItem": [item | {"service": service}]}


def about(external_id: str, action: str, service: str, **more: Any) -> dict[str, Any]:
    """An order about a service that is there."""
    item = {"id": "1", "action": action, "service": {"id": service, **more}}
    return {"externalId": external_id, "serviceOrderItem": [item]}


def change_of_isp(external_id: str = "B-1", line: str = "line1") -> dict[str, Any]:
    """Borealis's order for a line that Aurora serves."""
    user = f"sub-{line}@borealis.example"
    return body(external_id, line=line, offering="polar-100", user=user)


class Parties:
    """Everyone who is asked: remembers what, and answers as ``answers`` says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answers: dict[str, Outcome | Exception] = {}

    def answer(self, name: str, about: str) -> Outcome:
        """Answer one question."""
        self.asked.append((name, about))
        answer = self.answers.get(name, Done())
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ports(self) -> Ports:
        """Give them as the ports of the adapters."""
        return Ports(coa=_Coa(self), rating=_Rating(self))


class _Coa:
    def __init__(self, parties: Parties) -> None:
        self._parties = parties

    def change(self, _transaction: Transaction, service: Service, _by: str) -> None:
        """Change a service's sessions."""
        self._parties.answer("coa", service.name)

    def disconnect(
        self,
        _transaction: Transaction,
        service: Service,
        _by: str,
        line: str | None = None,
    ) -> None:
        """End a service's sessions, or those on a line."""
        self._parties.answer("disconnect", line or service.name)


class _Rating:
    def __init__(self, parties: Parties) -> None:
        self._parties = parties

    def look_ahead(self, _transaction: Transaction, _services: Sequence[str]) -> None:
        """Read together what will be asked: nothing is."""

    def open(self, _transaction: Transaction, service: Service) -> Outcome:
        """Open an account."""
        return self._parties.answer("rating-open", service.name)

    def close(self, _transaction: Transaction, service: Service) -> Outcome:
        """Close an account."""
        return self._parties.answer("rating-close", service.name)


class Site:
    """The network at work: a clock to be moved, orders, parties and subscribers."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.provisioning = Provisioning(database)
        self.parties = Parties()
        self.now = START + 100
        self._ids = itertools.count(1)
        self._sessions = itertools.count(1)
        self.keys = Keys(self.seal, b"d" * 32, b"t" * 32)

    @staticmethod
    def seal(isp: str, service: str, password: str) -> str:
        """Encipher a password so that a test can tell it from the clear one."""
        return f"sealed:{isp}:{service}:{password[::-1]}"

    def new_id(self) -> str:
        """Give the next id."""
        return f"id{next(self._ids)}"

    def transaction(self) -> Any:
        """Begin a transaction at this moment."""
        return self.provisioning.transaction(self.now)

    def place(
        self, sent: Mapping[str, Any], actor: Actor = AURORA, *, held: bool = False
    ) -> Order:
        """Place an order that is taken."""
        with self.transaction() as transaction:
            placed = orders.place(
                transaction, actor, sent, keys=self.keys, new_id=self.new_id, held=held
            )
        assert isinstance(placed, Placed), placed
        return placed.order

    def step(self, seconds: int = 0) -> Step:
        """Let the manager take a step, so many seconds later."""
        self.now += seconds
        with self.transaction() as transaction:
            return step(transaction, self.parties.ports(), lambda: 0.5)

    def answer(self, calls: list[Call]) -> None:
        """Let the parties answer what the manager asked them."""
        for call in calls:
            name = f"{call.kind}{'-undo' if call.undo else ''}"
            outcome = self.parties.answer(name, call.key)
            with self.transaction() as transaction:
                settle(transaction, call, outcome, lambda: 0.5)

    def run(self, rounds: int = 20, seconds: int = 0) -> None:
        """Go on until nothing is due, or for so many rounds."""
        for _ in range(rounds):
            made = self.step(seconds)
            self.answer(made.calls)
            if not made.orders:
                return

    def connect(
        self, user: str | None, address: str | None = "100.64.0.2", **more: Any
    ) -> None:
        """Let accounting tell of a session of a user, now."""
        number = next(self._sessions)
        row: dict[str, Any] = dict.fromkeys(SESSION_COLUMNS)
        row |= dict.fromkeys((name for name in SESSION_COLUMNS if "octets" in name), 0)
        row |= dict.fromkeys((n for n in SESSION_COLUMNS if "packets" in n), 0)
        row |= {
            "id": number,
            "nas": "bng1",
            "nas_identity": "192.0.2.1",
            "acct_session_id": f"S-{number}",
            "user_name": user,
            "framed_ip_address": address,
            "state": "open",
            "started_at": self.now,
            "started_derived": "reported",
            "last_seen_at": self.now,
            "last_arrival_at": self.now,
            "seconds": 0,
            "points": b"",
            "tenant": "network",
            **more,
        }
        with self.database.write.begin() as connection:
            connection.execute(insert(session).values(row))

    def lease(self, line: str, service: str, address: str) -> None:
        """Let the address server give a line an address for its service, now."""
        row = {
            "address": int(IPAddress(address)),
            "pool": "any",
            "line": line,
            "service": service,
            "owner": "aurora",
            "generation": 1,
            "kind": 0,
            "hardware": b"",
            "client_id": b"",
            "agent": b"",
            "started_at": self.now,
            "extended_at": self.now,
            "expires_at": self.now + 3600,
        }
        with self.database.write.begin() as connection:
            connection.execute(insert(lease).values(row))

    def order(self, order_id: str, actor: Actor = AURORA) -> Order:
        """Read an order."""
        with self.transaction() as transaction:
            found = orders.find(transaction, actor, order_id)
        assert found is not None
        return found

    def orders(self, actor: Actor = AURORA) -> list[Order]:
        """List an actor's orders."""
        with self.transaction() as transaction:
            return orders.listed(transaction, actor, Filter())

    def services(self) -> dict[str, dict[str, Any]]:
        """Give the services of the network as their bodies."""
        with self.database.read.connect() as connection:
            objects = network.read_network(connection)
        return {
            name: body for (kind, name), body in objects.items() if kind == "service"
        }

    def active(self, line: str = "line1", external_id: str = "A-1") -> Order:
        """Have an Aurora service on a line, ordered and seen to work."""
        user = f"sub-{line}@aurora.example"
        order = self.place(body(external_id, line=line, user=user))
        self.run()
        self.connect(user)
        self.run(seconds=2)
        return self.order(order.id)
