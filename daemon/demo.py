"""The demo: one subscriber's story, told to a running daemon through its sockets.

It plays the NAS: it builds and signs the packets, sends them from a loopback address
that the demo's network knows, checks each answer as a NAS would, and then reads the
database as ``fairlane sessions`` and ``fairlane usage`` do. Every step says what was
sent, what came back and what it means, and is checked: where anything is not as it
should be, the story ends there and says so. Run by ``script/server``, or alone against
a daemon that runs the demo's configuration: ``python -m daemon.demo``.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from config.plant import Nas
from daemon import clock, sockets
from daemon.commands.listing import print_table
from daemon.commands.options import configuration_option, fail, load_or_exit
from daemon.preparation import Plan
from daemon.stores import StoreError, opened
from radius.accounting import Status
from radius.packet import accounting_request, attribute, is_response_authentic
from storage.usage_queries import Filter, list_sessions, list_usage

CONFIGURATION = Path(__file__).parent.parent / "config" / "demo.toml"

_ANSWER_SECONDS = 2.0
_ATTEMPTS = 3
_LEDGER_SECONDS = 20.0
_POLL_SECONDS = 0.05
_RESPONSE_OCTETS_MAX = 4096
_WRAP = 1 << 32

_LINE, _USER, _ADDRESS = "ge-0/0/1:101", "sub101@aurora.example", "100.64.0.101"
_SESSION_SECONDS = 3000


class StoryError(Exception):
    """A step did not go as it should; the message says which and how."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One report: ``at`` is seconds into the session, octets are what was really used
    until then, which a NAS without Gigawords shows without all above 32 bits."""

    status: Status
    at: int
    up_octets: int
    down_octets: int


STORY = (
    Chapter(Status.START, 0, 0, 0),
    Chapter(Status.INTERIM_UPDATE, 900, 120_000_000, 3_900_000_000),
    Chapter(Status.INTERIM_UPDATE, 1800, 260_000_000, 4_800_000_000),
    Chapter(Status.INTERIM_UPDATE, 2700, 390_000_000, 5_600_000_000),
    Chapter(Status.STOP, _SESSION_SECONDS, 430_000_000, 5_850_000_000),
)


class Bng:
    """The NAS of the story: signs, sends, waits for the answer and checks it."""

    def __init__(self, plan: Plan) -> None:
        self.host, self.port = _accounting_address(plan)
        self.nas = _nas_of(plan, self.host)
        self._secret = self.nas.keys()[0]
        self._identifier = 0
        # The session begins so long ago that it ends now.
        started = clock.now()
        self.began = int(started) - _SESSION_SECONDS
        self.session_id = f"demo-{int(started * 1000):x}"
        self._socket: socket.socket | None = None

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Hold the socket that the reports leave from."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as self._socket:
            self._socket.settimeout(_ANSWER_SECONDS)
            self._socket.connect((self.host, self.port))
            yield

    def request(self, chapter: Chapter) -> bytes:
        """Build the report of a chapter (RFC 2866), with a new identifier."""
        self._identifier += 1
        return accounting_request(
            self._identifier, self._attributes(chapter), self._secret
        )

    def _attributes(self, chapter: Chapter) -> bytes:
        circuit = attribute(1, _LINE.encode())
        encoded = [
            (40, _number(chapter.status)),
            (44, self.session_id.encode()),
            (1, _USER.encode()),
            (32, self.nas.name.encode()),
            (8, ipaddress.ip_address(_ADDRESS).packed),
            (26, _number(3561) + circuit),  # Agent-Circuit-Id, RFC 4679 section 3.3.1
            (55, _number(self.began + chapter.at)),
        ]
        if chapter.status != Status.START:
            encoded += [
                (46, _number(chapter.at)),
                (42, _number(chapter.up_octets % _WRAP)),
                (43, _number(chapter.down_octets % _WRAP)),
            ]
        if chapter.status == Status.STOP:
            encoded.append((49, _number(1)))  # User-Request
        return b"".join(attribute(kind, value) for kind, value in encoded)

    def exchange(self, request: bytes) -> tuple[bytes, float]:
        """Send a report until it is answered; give the answer and its milliseconds."""
        assert self._socket is not None
        for _ in range(_ATTEMPTS):
            sent = clock.monotonic()
            try:
                self._socket.send(request)
                answer = self._socket.recv(_RESPONSE_OCTETS_MAX)
            except TimeoutError:
                continue
            except ConnectionRefusedError as error:
                raise StoryError("nobody listens there") from error
            if not is_response_authentic(answer, request, self._secret):
                raise StoryError("the answer's signature is wrong")
            return answer, (clock.monotonic() - sent) * 1000
        raise StoryError(f"no answer to {_ATTEMPTS} requests")


def _number(value: int) -> bytes:
    return struct.pack("!I", value)


def _accounting_address(plan: Plan) -> tuple[str, int]:
    for text in plan.settings.radius.accounting_listen:
        where = sockets.endpoint("accounting", text)
        if ipaddress.ip_address(where.host).is_loopback:
            return where.host, where.port
    raise StoryError("the configuration has no accounting address on loopback")


def _nas_of(plan: Plan, host: str) -> Nas:
    address = ipaddress.ip_address(host)
    for nas in plan.network.nas if plan.network else ():
        if address in ipaddress.ip_network(nas.address) and nas.keys():
            return nas
    raise StoryError(f"the network has no NAS at {host}")


def tell(plan: Plan) -> None:
    """Play the story and print it; raises StoryError where it goes wrong."""
    bng = Bng(plan)
    where = sockets.Endpoint("accounting", bng.host, bng.port)
    _say(
        f"The story of {_USER} on line {_LINE}, as the NAS {bng.nas.name} reports it",
        f"to {where}. The session began {_SESSION_SECONDS // 60} minutes ago and ends"
        " now.",
    )
    with bng.connected():
        for number, chapter in enumerate(STORY, start=1):
            _report(bng, number, chapter)
    _outcome(plan, bng)


def _report(bng: Bng, number: int, chapter: Chapter) -> None:
    before = STORY[max(0, number - 2)]
    wraps = chapter.down_octets // _WRAP > before.down_octets // _WRAP
    lost = chapter is STORY[3]
    name = _NAMES[chapter.status]
    _say("", f"{number}. {name}, {chapter.at // 60} minutes into the session")
    if chapter.status == Status.START:
        _say(f"   {_USER} goes online with the address {_ADDRESS}.")
    else:
        _say(
            f"   The counters show {chapter.up_octets % _WRAP:,} octets up and"
            f" {chapter.down_octets % _WRAP:,} down."
        )
    if wraps:
        _say(
            "   Down was more before: this NAS counts with 32 bits, and its counter",
            f"   went round through {_WRAP:,}.",
        )
    request = bng.request(chapter)
    _say(
        f"   -> Accounting-Request, identifier {request[1]}, {len(request)} octets,"
        f" session {bng.session_id}"
    )
    answer, milliseconds = bng.exchange(request)
    if lost:
        _say(
            "   <- (the answer is lost on its way, and the NAS never sees it)",
            "   -> the same request again, octet for octet",
        )
        first, (answer, milliseconds) = answer, bng.exchange(request)
        if answer != first:
            raise StoryError("the retransmission got another answer")
    _say(
        f"   <- Accounting-Response, signature good, after {milliseconds:.1f} ms:"
        " the report is on disk."
    )
    if lost:
        _say(
            "      It is the same answer, octet for octet, and the use in the report",
            "      will count once.",
        )


_NAMES = {
    Status.START: "Start",
    Status.INTERIM_UPDATE: "Interim-Update",
    Status.STOP: "Stop",
}


def _outcome(plan: Plan, bng: Bng) -> None:
    session, usage = _recorded(plan, bng.session_id)
    _say("", "The session, as fairlane sessions shows it:", "")
    print_table(iter([session]), _SESSION_COLUMNS)
    _say("", "Its usage, as fairlane usage shows it, one record a difference:", "")
    print_table(iter(usage), _USAGE_COLUMNS)
    last = STORY[-1]
    _expect("state", session["state"], "closed")
    _expect("seconds", session["seconds"], last.at)
    for word, wanted in (
        ("input_octets", last.up_octets),
        ("output_octets", last.down_octets),
    ):
        _expect(word, session[word], wanted)
        _expect(f"the sum of {word}", sum(row[word] for row in usage), wanted)
    derived = [row["derived"] for row in usage]
    _expect("derived", derived, ["reported", "wrapped", "reported", "reported"])
    _say(
        "",
        f"All {last.down_octets:,} octets down are there, though the NAS can show no",
        f"more than {_WRAP - 1:,}: the record that is derived as wrapped has the way",
        "round. Five reports, one sent twice, and nothing is counted twice.",
    )


_SESSION_COLUMNS = (
    "acct_session_id",
    "user_name",
    "framed_ip_address",
    "state",
    "seconds",
    "input_octets",
    "output_octets",
    "terminate_cause",
)
_USAGE_COLUMNS = (
    "started_at",
    "ended_at",
    "seconds",
    "input_octets",
    "output_octets",
    "derived",
)

_Rows = list[dict[str, Any]]


def _recorded(plan: Plan, session_id: str) -> tuple[dict[str, Any], _Rows]:
    """Wait until the ledger has applied the Stop; give the session and its usage."""
    deadline = clock.monotonic() + _LEDGER_SECONDS
    wanted = Filter(session=session_id)
    pause = threading.Event()
    while True:
        with opened(plan) as database, database.read.connect() as connection:
            found = list(list_sessions(connection, wanted))
            if len(found) == 1 and found[0]["state"] == "closed":
                return found[0], list(list_usage(connection, wanted))
        if clock.monotonic() > deadline:
            raise StoryError(
                f"after {_LEDGER_SECONDS:.0f} s the session is not recorded: {found}"
            )
        pause.wait(_POLL_SECONDS)


def _expect(what: str, is_so: object, should_be: object) -> None:
    if is_so != should_be:
        raise StoryError(f"{what} is {is_so} and should be {should_be}")


def _say(*lines: str) -> None:
    for line in lines:
        click.echo(line)
    sys.stdout.flush()


@click.command()
@configuration_option
def main(configuration: Path | None) -> None:
    """Play one subscriber's story against the daemon that runs."""
    plan = load_or_exit(configuration or CONFIGURATION)
    try:
        tell(plan)
    except (StoryError, StoreError, OSError) as error:
        fail(f"the story did not go as it should: {error}")


if __name__ == "__main__":
    main()
