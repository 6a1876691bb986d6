"""What a running daemon does about money: quotas that run out, addresses that it sells.

Packets go in as equipment sends them; what is looked at is what the NAS is told, what a
session that begins then gets, and what the ledger has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from access_site import SECRET, found, pap
from dhcp_packets import ACK, DISCOVER, OFFER, REQUEST, agent, ip, message, option
from e2e.coa_nas import CoaNas
from e2e.daemon_process import Daemon, NasSocket, wait_until
from e2e.dhcp_client import TO_SOURCE, RelaySocket
from radius_packets import octets, packet

from daemon.commands.stored import network_in
from radius.packet import Code
from rating.quota import Action, Kind
from services.bsp_usage import receive
from services.catalogue import Catalogue
from storage.database import open_database
from storage.quota_events import NumberedQuotaEvent, quota_events_since

GB = 10**9
SERVICES = {
    "throttle": "down_kbps = 2000\nup_kbps = 1000",
    "walled_garden": "",
    "block": "",
    "buy": 'topup = "more"',
}
_CHARGED_WITHIN = 60.0
"""Sold addresses are booked each quarter of a minute."""


def network(nas: CoaNas) -> str:
    """A service with a quota of each action, and one that sells addresses."""
    rows = [
        f"""
[[area]]
name = "harbour"
[[isp]]
name = "aurora"
realms = ["aurora.example"]
[[nas]]
name = "bng1"
area = "harbour"
address = "127.0.0.1/32"
secret = "{SECRET.decode()}"
profile = "mikrotik"
coa_port = {nas.port}
walled_garden = true
[[relay]]
name = "relay-1"
area = "harbour"
giaddr = "127.0.0.1"
[[pool]]
name = "aurora-harbour"
area = "harbour"
isp = "aurora"
prefixes = ["100.64.0.0/20"]
[[pool]]
name = "garden"
area = "harbour"
walled_garden = true
prefixes = ["10.0.0.0/16"]
[[tax]]
name = "vat"
percent = "25"
[[bsp]]
name = "filmhouse"
[[meter]]
name = "minutes"
bsp = "filmhouse"
tariff = "films"
unit = "1 min"
[[tariff]]
name = "films"
currency = "EUR"
zone = "UTC"
[[tariff.version]]
valid_from = "2020-01-01"
rate = [{{ name = "watched", measure = "seconds", price = "0.02", per = "1 min" }}]
"""
    ]
    for action, more in [*SERVICES.items(), ("sell", None)]:
        name = action.replace("_", "-")
        rows.append(f"""
[[tariff]]
name = "{name}"
isp = "aurora"
currency = "EUR"
zone = "UTC"
[[tariff.version]]
valid_from = "2020-01-01"
rate = [{{ name = "data", measure = "out", price = "0.10", per = "1 GB" }}]
allowance = [{{ name = "free", quantity = "1 GB", rates = ["data"] }}]
topup = [{{ name = "more", allowance = "free", quantity = "5 GB", price = "2" }}]
""")
        if more is not None:
            rows.append(f"""
[[tariff.version.quota]]
name = "fair use"
allowance = "free"
action = "{action}"
{more}
""")
        sale = 'excess = "sell"\nexcess_addresses = 5\n'
        sale += "excess_price_micro = 1_500_000\nexcess_cap_micro = 3_000_000\n"
        rows.append(f"""
[[offering]]
name = "{name}"
isp = "aurora"
down_kbps = 500000
up_kbps = 100000
tariff = "{name}"
{sale if action == "sell" else ""}
[[line]]
name = "{name}"
area = "harbour"
circuit_id = "{name}"
[[service]]
name = "{name}"
isp = "aurora"
line = "{name}"
user_names = ["{name}@aurora.example"]
password = "arctangent"
offering = "{name}"
""")
    return "".join(rows)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, nas: CoaNas) -> Iterator[Daemon]:
    """One daemon for all."""
    folder = tmp_path_factory.mktemp("daemon")
    with Daemon(folder, network=network(nas), environment=TO_SOURCE) as daemon:
        yield daemon


class Session:
    """A session of a service that began ten minutes ago, and what its NAS reports."""

    def __init__(self, daemon: Daemon, service: str, nth: int = 1) -> None:
        self._daemon = daemon
        self._service = service
        self.name = f"{service}-{nth}"
        self._began = int(time.time()) - (600 if nth == 1 else 0)
        self._count = 0
        self._last = 0
        self._total = 0

    def report(self, status: int, more: int = 0) -> None:
        """Report once, in a second of its own, and wait until it is known."""
        wait_until(lambda: int(time.time()) > self._last)
        self._last = int(time.time())
        self._total += more
        self._count += 1
        report = packet(
            self._count,
            status=status,
            acct_session_id=self.name,
            user_name=f"{self._service}@aurora.example",
            event_at=self._last,
            session_seconds=self._last - self._began,
            **octets("output", self._total),
        )
        with NasSocket(self._daemon.accounting_port) as accounting:
            accounting.ask(report)
        wait_until(self._daemon.applied)


def events(daemon: Daemon, service: str) -> list[NumberedQuotaEvent]:
    """What asked for something about a service."""
    database = open_database(daemon.database, daemon.data_dir)
    with database.read.connect() as connection:
        told = quota_events_since(connection, 0, 100)
    database.close()
    return [
        e for e in told if e.event.service == service and e.event.action != Action.NONE
    ]


def used_up(daemon: Daemon, nas: CoaNas, service: str) -> Session:
    """Use 2 GB of 1, and wait until that was acted on and its second is over."""
    session = Session(daemon, service)
    nas.script[session.name] = [Code.DISCONNECT_ACK]
    if service == "throttle":
        nas.script[session.name] = [Code.COA_ACK]
    session.report(1)
    session.report(3, 2 * GB)
    wait_until(lambda: events(daemon, service)[0].acted_at)
    acted_at = events(daemon, service)[0].acted_at
    assert acted_at is not None
    wait_until(lambda: time.time() > acted_at + 1)
    return session


def access(daemon: Daemon, service: str) -> bytes:
    """Ask for a session that begins now."""
    with NasSocket(daemon.authentication_port) as asks:
        asks.send(pap(user=f"{service}@aurora.example"))
        answer = asks.hear(10)
    assert answer is not None
    return answer


def entries(daemon: Daemon, service: str) -> list[dict[str, Any]]:
    """A service's entries of the ledger."""
    text = daemon.run("ledger", "entries", "--json")
    rows = [json.loads(line) for line in text.splitlines()]
    return [row for row in rows if row["service"] == service]


def rates(answer: bytes) -> bytes:
    """Mikrotik-Rate-Limit of an answer: vendor 14988, type 8."""
    (value,) = (v[6:] for v in found(answer, 26) if v[:5] == b"\0\0\x3a\x8c\x08")
    return value


def test_what_is_used_up_is_throttled_and_seen_to_be(
    daemon: Daemon, nas: CoaNas
) -> None:
    """The NAS is told the lower speeds, a session that begins gets them, and the next
    report shows that they hold."""
    session = used_up(daemon, nas, "throttle")
    wait_until(lambda: nas.of(session.name))
    assert ["1000k/2000k"] == nas.of(session.name)[0][1]["Mikrotik-Rate-Limit"]
    wait_until(lambda: rates(access(daemon, "throttle")) == b"1000k/2000k")
    session.report(3, 1000)  # ran into the moment of the change: too early to tell
    session.report(3, 1000)
    wait_until(lambda: events(daemon, "throttle")[0].effect)
    (event,) = events(daemon, "throttle")
    assert (Kind.EXHAUSTED, "confirmed", 1) == (
        event.event.kind,
        event.effect,
        event.tries,
    )


def test_who_is_sent_to_the_walled_garden_is_found_there(
    daemon: Daemon, nas: CoaNas
) -> None:
    """The session is ended, the next one has the garden's pool, and its first report
    says that the old one did not go on."""
    session = used_up(daemon, nas, "walled-garden")
    wait_until(lambda: nas.of(session.name))
    assert Code.DISCONNECT_REQUEST == nas.of(session.name)[0][1].code
    session.report(2)
    wait_until(lambda: found(access(daemon, "walled-garden"), 88) == [b"garden"])
    after = Session(daemon, "walled-garden", nth=2)
    after.report(1)
    after.report(3, 1000)
    after.report(3, 1000)
    wait_until(lambda: events(daemon, "walled-garden")[0].effect)
    assert ["confirmed"] == [e.effect for e in events(daemon, "walled-garden")]


def test_a_session_that_goes_on_when_it_is_blocked_is_ended_again(
    daemon: Daemon, nas: CoaNas
) -> None:
    """The NAS says yes and does nothing: its next report gives it away, and it is told
    once more. Who asks for a session is refused."""
    session = used_up(daemon, nas, "block")
    wait_until(lambda: nas.of(session.name))
    wait_until(lambda: access(daemon, "block")[0] == Code.ACCESS_REJECT)
    session.report(3, GB)
    session.report(3, GB)
    wait_until(lambda: len(nas.of(session.name)) > 1, seconds=30)
    assert 2 <= events(daemon, "block")[0].tries


def test_what_is_used_up_is_bought_again_and_booked(
    daemon: Daemon, nas: CoaNas
) -> None:
    """1 GB beyond the allowance had cost 0.10; with 5 GB more for 2.00 that comes
    back."""
    used_up(daemon, nas, "buy")
    wait_until(lambda: events(daemon, "buy")[0].effect)
    assert "confirmed" == events(daemon, "buy")[0].effect
    own = [row for row in entries(daemon, "buy") if row["kind"] == "access"]
    amounts = sorted(row["subscriber"] for row in own)
    assert ["-0.10", "-2.00", "0.10"] == amounts


def test_metered_use_of_a_bsp_is_rated_by_itself(daemon: Daemon) -> None:
    """What the BSP's servers sent, over REST or otherwise, is in the ledger soon, once;
    nobody runs a command."""
    now = int(time.time())
    record = {"event_id": "U-1", "user": "buy", "meter": "minutes", "quantity": 90}
    database = open_database(daemon.database, daemon.data_dir)
    with database.read.connect() as connection:
        catalogue = Catalogue(network_in(connection))
    for _ in range(2):
        sent = receive(database, catalogue, "filmhouse", [record | {"start": now}], now)
        assert {"guided", "rated"} >= {receipt.state for receipt in sent}
        wait_until(lambda: 1 == len(watched(daemon)))
    database.close()
    assert ["-1.80"] == [row["subscriber"] for row in watched(daemon)]


def watched(daemon: Daemon) -> list[dict[str, Any]]:
    """The entries of metered use."""
    return [row for row in entries(daemon, "buy") if row["kind"] == "bsp_usage"]


def test_an_address_beyond_the_plan_is_sold_under_its_cap_and_booked(
    daemon: Daemon,
) -> None:
    """Two devices more at 1.50 each and tax, and no third: the cap is 3.00. The same
    devices in another round, and after a kill, are not sold to again."""
    with RelaySocket(daemon.dhcp_port) as relay:
        for _ in range(2):
            assert all(lease(relay, device) for device in (1, 2, 3))
            assert lease(relay, 4) is None
            daemon.kill()
            daemon.start()
    wait_until(lambda: 2 == len(entries(daemon, "sell")), seconds=_CHARGED_WITHIN)
    assert [("address_sale", "-1.875", "1.50", "0.375")] * 2 == [
        (row["kind"], *(row[leg].rstrip("0") for leg in ("subscriber",)), *rest(row))
        for row in entries(daemon, "sell")
    ]
    proof = json.loads(daemon.run("ledger", "verify", "--json"))
    assert [] == proof["problems"]


def rest(row: dict[str, Any]) -> tuple[str, str]:
    """The legs of the ISP and of the tax."""
    return row["isp_amount"], row["tax"]


def lease(relay: RelaySocket, device: int) -> str | None:
    """Bring a device of the line up; None when it is offered nothing."""

    def ask(kind: int, options: bytes, tries: int) -> Any:
        circuit = option(82, agent(b"sell"))
        hardware = b"\x02" + device.to_bytes(5)
        xid = 0xBB000000 + device * 4 + kind % 4
        try:
            return relay.ask(
                message(kind, options + circuit, hardware=hardware, xid=xid),
                tries=tries,
            )
        except AssertionError:
            return None

    offer = ask(DISCOVER, b"", 3 if device == 4 else 20)
    if offer is None:
        return None
    assert OFFER == offer.kind
    wanted = option(50, ip(offer.yiaddr)) + option(54, offer.options[54])
    ack = ask(REQUEST, wanted, 20)
    assert ACK == ack.kind
    return str(ack.yiaddr)
