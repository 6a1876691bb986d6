"""An access server with one NAS and real stores, for tests that send it packets."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from config.plant import Nas
from config.schema import AccessSettings
from radius.access_server import AccessServer
from radius.asked import Asked, HomeAnswer, Wholesale
from radius.nas import NasTable
from radius.outcomes import Drop, Statistics
from radius.packet import Code, attribute, is_response_authentic
from radius.passwords import hide_password
from radius.server import RadiusServer
from radius.subscribers import Subscribers
from services.credentials import is_hash_of, unseal_password
from storage.access_state import AccessState
from storage.group_commit import GroupCommit
from storage.journal import JournalWriter

SECRET = b"a secret of 24 octets ..."
KEY = bytes(range(32))
CLASS_KEY = b"class key of 32 octets for tests"
ADDRESS = b"\x02\x00\x13\x88\x7f\x00\x00\x01" + bytes(8)

# The example of RFC 2759 section 9.2.
PEER = bytes.fromhex("21402324255E262A28295F2B3A337C7E")
CHALLENGE = bytes.fromhex("5B5D7C7D7B3F2F3E3C2C602132262628")
NT_RESPONSE = bytes.fromhex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")

NETWORK: dict[tuple[str, str], dict[str, Any]] = {
    ("area", "harbour"): {"name": "harbour"},
    ("isp", "aurora"): {"name": "aurora", "realms": ["aurora.example"]},
    ("pool", "aurora-harbour"): {
        "name": "aurora-harbour",
        "area": "harbour",
        "isp": "aurora",
        "prefixes": ["100.64.0.0/20"],
    },
    ("pool", "garden"): {
        "name": "garden",
        "area": "harbour",
        "walled_garden": True,
        "prefixes": ["10.0.0.0/12"],
    },
    ("line", "harbour-101"): {
        "name": "harbour-101",
        "area": "harbour",
        "circuit_id": "ge-0/0/1:101",
    },
    ("offering", "home-500"): {
        "name": "home-500",
        "isp": "aurora",
        "down_kbps": 500_000,
        "up_kbps": 100_000,
    },
    ("service", "aurora-101"): {
        "name": "aurora-101",
        "isp": "aurora",
        "line": "harbour-101",
        "offering": "home-500",
        "user_names": ["sub101@aurora.example"],
        "password": "arctangent",
    },
}


class NoIsp:
    """For sites whose ISPs have no servers."""

    def ask(
        self, isp: str, asked: Asked, done: Callable[[HomeAnswer | Drop | None], None]
    ) -> None:
        """Say that none answers."""
        done(None)


class Wire:
    """A socket whose datagrams a test puts in and takes out."""

    def __init__(self) -> None:
        self.waiting: list[tuple[bytes, bytes, bytes]] = []
        self.sent: list[bytes] = []

    def receive(self) -> list[tuple[bytes, bytes, bytes]]:
        """Give what waits."""
        waiting, self.waiting = self.waiting, []
        return waiting

    def send(self, replies: list[tuple[bytes, bytes, bytes]]) -> int:
        """Keep what is sent."""
        self.sent += [octets for octets, _, _ in replies]
        return len(replies)


class AccessSite:
    """The whole edge without sockets; time stands still until ``wait``."""

    def __init__(
        self,
        folder: Path,
        *,
        nas: dict[str, Any] | None = None,
        services: dict[str, dict[str, Any]] | None = None,
        settings: dict[str, Any] | None = None,
        wholesale: Wholesale | None = None,
        state: AccessState | None = None,
        settle: Callable[[str, Callable[[bool], None]], None] | None = None,
        objects: dict[tuple[str, str], dict[str, Any]] | None = None,
    ) -> None:
        self.now = 1000.0
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self.statistics = Statistics()
        self.state = state or AccessState(folder)
        self.hashed: list[tuple[str, bytes, Callable[[bool], None]]] = []
        network = {**NETWORK, **(objects or {})}
        for name, changes in (services or {}).items():
            body = {**network.get(("service", name), {"name": name}), **changes}
            kept = {key: value for key, value in body.items() if value is not None}
            network["service", name] = kept
        self.subscribers = Subscribers(
            unseal=lambda *row: unseal_password(KEY, *row), interim_seconds=600
        )
        self.subscribers.replace(network)
        row = {
            "name": "bng1",
            "area": "harbour",
            "address": "127.0.0.1",
            "secret": SECRET.decode(),
            **(nas or {}),
        }
        self.access = AccessServer(
            subscribers=self.subscribers,
            statistics=self.statistics,
            settings=msgspec.convert(settings or {}, AccessSettings),
            duplicate_seconds=15,
            monotonic=lambda: self.now,
            now=lambda: 1_790_000_000 + self.now,
            call_later=lambda s, f: self._timers.append((self.now + s, f)),
            random_octets=os.urandom,
            class_key=CLASS_KEY,
            memory_key=b"memory",
            reservations=self.state,
            hash_check=self._hash_check,
            settle=settle or (lambda _, done: done(False)),
            learned=self.state.learned,
            learn=lambda name: self.state.learn(name, 1),
            wholesale=wholesale or NoIsp(),
        )
        self.journal = JournalWriter(folder / "journal", file_bytes=10**6)
        self.server = RadiusServer(
            table=NasTable.build([msgspec.convert(row, Nas)]),
            commits=GroupCommit(
                self.journal, monotonic=lambda: self.now, observe=lambda *_: None
            ),
            address_of=lambda _: "127.0.0.1",
            origin_of=lambda *_: b"",
            monotonic=lambda: self.now,
            time_ns=lambda: 0,
            duplicate_seconds=15,
            queue_records=1000,
            status_server_per_second=10,
            on_unknown=lambda _: None,
            access=self.access,
            statistics=self.statistics,
        )
        self.wire = Wire()
        self._readable = self.server.listen(self.wire, "authentication")

    def _hash_check(
        self, password_hash: str, password: bytes, done: Callable[[bool], None]
    ) -> bool:
        if len(self.hashed) >= 2:
            return False
        self.hashed.append((password_hash, password, done))
        return True

    def finish_hashes(self) -> int:
        """Do what a thread would; give how many hashes there were."""
        waiting, self.hashed = self.hashed, []
        for password_hash, password, done in waiting:
            done(is_hash_of(password_hash, password))
        return len(waiting)

    def send(self, *packets: bytes, address: bytes = ADDRESS) -> list[bytes]:
        """Send packets at once; give the answers that came at once."""
        before = len(self.wire.sent)
        self.wire.waiting = [(packet, address, b"") for packet in packets]
        self._readable()
        return self.wire.sent[before:]

    def wait(self, seconds: float = 1.0) -> list[bytes]:
        """Let time pass; give what was answered meanwhile."""
        before = len(self.wire.sent)
        self.now += seconds
        due = [timer for timer in self._timers if timer[0] <= self.now]
        self._timers = [timer for timer in self._timers if timer[0] > self.now]
        for _, call in due:
            call()
        return self.wire.sent[before:]

    def answer(self, packet: bytes) -> bytes:
        """Send a packet; give its one answer, however late, checked as a NAS does."""
        answers = self.send(packet) or self.wait(1.0)
        assert 1 == len(answers)
        (answer,) = answers
        assert is_response_authentic(answer, packet, SECRET)
        assert is_signed_first(answer, packet)
        return answer

    def dropped(self) -> dict[str, int]:
        """Give the counts of what was left without an answer."""
        return {str(reason): n for (_, reason), n in self.statistics.dropped.items()}

    def refused(self) -> dict[str, int]:
        """Give the counts of rejects by reason."""
        return {str(reason): n for (_, reason), n in self.statistics.refused.items()}

    def close(self) -> None:
        """Close the stores."""
        self.journal.close()
        self.state.close()


def is_signed_first(answer: bytes, request: bytes, secret: bytes = SECRET) -> bool:
    """Say whether the first attribute is a Message-Authenticator, and a good one."""
    blank = answer[:4] + request[4:20] + answer[20:22] + bytes(16) + answer[38:]
    expected = hmac.digest(secret, blank, "md5")
    return answer[20:22] == b"\x50\x12" and answer[22:38] == expected


def access_request(
    *attributes: bytes,
    identifier: int = 1,
    authenticator: bytes | None = None,
    signed: bool = True,
    secret: bytes = SECRET,
) -> bytes:
    """Make an Access-Request of encoded attributes, with the signature first."""
    authenticator = os.urandom(16) if authenticator is None else authenticator
    body = (b"\x50\x12" + bytes(16) if signed else b"") + b"".join(attributes)
    head = bytes((Code.ACCESS_REQUEST, identifier)) + (20 + len(body)).to_bytes(2)
    if signed:
        digest = hmac.digest(secret, head + authenticator + body, "md5")
        body = body[:2] + digest + body[18:]
    return head + authenticator + body


def pap(
    user: str = "sub101@aurora.example",
    password: str = "arctangent",
    *attributes: bytes,
    **options: Any,
) -> bytes:
    """Make a PAP request (RFC 2865 section 5.2)."""
    authenticator = options.setdefault("authenticator", os.urandom(16))
    hidden = hide_password(
        password.encode(), options.get("secret", SECRET), authenticator
    )
    return access_request(
        attribute(1, user.encode()), attribute(2, hidden), *attributes, **options
    )


def chap(
    user: str = "sub101@aurora.example",
    password: str = "arctangent",
    *,
    challenge: bytes | None = None,
) -> bytes:
    """Make a CHAP request; without a challenge the authenticator is it."""
    authenticator = os.urandom(16)
    digest = hashlib.md5(b"\x07" + password.encode() + (challenge or authenticator))
    parts = [attribute(1, user.encode()), attribute(3, b"\x07" + digest.digest())]
    if challenge:
        parts.append(attribute(60, challenge))
    return access_request(*parts, authenticator=authenticator)


def found(answer: bytes, kind: int) -> list[bytes]:
    """Give the values of a kind of attribute."""
    values, place = [], 20
    while place < len(answer):
        behind = place + answer[place + 1]
        if answer[place] == kind:
            values.append(answer[place + 2 : behind])
        place = behind
    return values
