"""Load of RADIUS accounting: many source ports, many requests outstanding.

    python -m bench.radius_load --target 127.0.0.1:1813 --secret testing123 \
        --sessions 100000 --phase starts --phase interims --seconds 10

One process that sends Accounting-Requests of numbered sessions and checks the replies.
Each phase goes through the sessions: `starts` and `stops` once, `interims` again and
again (`--rounds` times or until `--packets` or `--seconds` is reached), with counters
that grow from round to round.

Closed loop (the default): every source port keeps `--window` requests outstanding, and
a reply makes room for the next request; the figure is the server's highest rate. Open
loop (`--rate N`): N requests a second whatever the server does, and response times
count from when a request was due if the generator itself came late, so that a server
that stalls cannot hide it.

A request without a reply is sent again after one second, three times, with identical
bytes (RFC 2866 section 2.1 leaves the times to the client), then counted as lost. Every
reply's Response Authenticator is verified, or one in `--verify-every`. `--ack-log FILE`
keeps a line for each acknowledged packet (Acct-Session-Id, Acct-Status-Type,
Acct-Session-Time, input octets, output octets): what a durable server must still know.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Self, TextIO

from bench.load.datagrams import SourcePort
from bench.load.latency import Latency
from bench.load.packets import SLOTS, AccountingPackets, Pass, md5
from bench.load.port import Port
from bench.load.result import LoadResult
from bench.load.work import Feed, passes

__all__ = ["LoadResult", "RadiusLoad", "passes"]

_TICK_SECONDS = 0.002
"""An open-loop request sent within this time of when it was due counts as in time."""
_SWEEP_SECONDS = 0.1
"""How often outstanding requests are looked through for one to send again."""
_ACCOUNTING_RESPONSE = 5


class RadiusLoad:
    """The load generator: opens the source ports once, runs any number of times.

    One run may follow another on the same ports: sessions keep their numbers.
    """

    def __init__(
        self,
        target: tuple[str, int],
        packets: AccountingPackets,
        *,
        sessions: int = 100_000,
        first_session: int = 0,
        sources: int = 64,
        window: int = 16,
        source_address: str = "127.0.0.1",
        verify_every: int = 1,
        retransmit_seconds: float = 1.0,
        retransmissions: int = 3,
        ack_log: TextIO | None = None,
    ) -> None:
        if not 1 <= window <= SLOTS:
            raise ValueError("the window is 1 to 256: an identifier is one octet")
        if sessions < 1 or sources < 1:
            raise ValueError("at least one session and one source port")
        self.packets = packets
        self.sessions, self.first_session = sessions, first_session
        self.window = window
        self.verify_every = verify_every
        self.retransmit_seconds = retransmit_seconds
        self.retransmissions = retransmissions
        self._ack_log = ack_log
        self._ports = [Port(SourcePort(source_address, target)) for _ in range(sources)]
        self._epoll = select.epoll()
        self._by_descriptor = {}
        for port in self._ports:
            descriptor = port.source.socket.fileno()
            self._by_descriptor[descriptor] = port
            self._epoll.register(descriptor, select.EPOLLIN)
        self._reset()

    def __enter__(self) -> Self:
        """The load itself: its ports are open already."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the source ports."""
        self._epoll.close()
        for port in self._ports:
            port.source.close()

    def _reset(self) -> None:
        self._latency = Latency()
        self._longest = 0.0
        self._sent = self._acknowledged = self._retransmitted = 0
        self._lost = self._unverified = self._unexpected = 0
        self._outstanding = 0
        self._verify_in = 1

    def run(
        self,
        work: Iterator[Pass],
        *,
        max_packets: int = 0,
        max_seconds: float = 0.0,
        rate: float = 0.0,
    ) -> LoadResult:
        """Send until the passes, the packets or the seconds are used up; then wait.

        The wait is for outstanding replies, at most until the last retransmission has
        timed out. `rate` (requests a second) makes it an open loop.
        """
        self._reset()
        feed = Feed(work, self.first_session, self.sessions, max_packets)
        started = time.perf_counter()
        self._next_sweep = started + _SWEEP_SECONDS
        deadline = started + max_seconds if max_seconds else float("inf")
        if rate:
            late = self._open_loop(feed, started, deadline, rate)
        else:
            late = 0.0
            self._closed_loop(feed, deadline)
        while self._outstanding:
            for port in self._ready(_SWEEP_SECONDS):
                self._take(port)
        seconds = time.perf_counter() - started
        return LoadResult(
            seconds=seconds,
            sent=self._sent,
            acknowledged=self._acknowledged,
            replies_per_second=self._acknowledged / seconds,
            retransmissions=self._retransmitted,
            lost=self._lost,
            unverified=self._unverified,
            unexpected=self._unexpected,
            p50_seconds=min(self._latency.quantile(0.5), self._longest),
            p99_seconds=min(self._latency.quantile(0.99), self._longest),
            max_seconds=self._longest,
            late_seconds=late,
        )

    def _closed_loop(self, feed: Feed, deadline: float) -> None:
        for port in self._ports:
            self._fill(port, feed, self.window, None)
        while not feed.ended and time.perf_counter() < deadline:
            for port in self._ready(_SWEEP_SECONDS):
                self._take(port)
                room = self.window - (SLOTS - len(port.free))
                if room > 0:
                    self._fill(port, feed, room, None)
            if self._swept:
                # Requests given up made room on ports that get no more replies.
                for port in self._ports:
                    room = self.window - (SLOTS - len(port.free))
                    if room > 0:
                        self._fill(port, feed, room, None)

    def _open_loop(
        self, feed: Feed, started: float, deadline: float, rate: float
    ) -> float:
        turn = 0
        worst = 0.0
        while not feed.ended:
            now = time.perf_counter()
            if now >= deadline:
                break
            due = int((now - started) * rate) - self._sent
            full = 0
            while due > 0 and full < len(self._ports) and not feed.ended:
                port = self._ports[turn % len(self._ports)]
                turn += 1
                room = min(due, len(port.free), self.window)
                if not room:
                    full += 1
                    continue
                full = 0
                planned = started + self._sent / rate
                lateness = now - planned
                worst = max(worst, lateness)
                self._fill(
                    port, feed, room, planned if lateness > _TICK_SECONDS else None
                )
                due -= room
            rest = now + _TICK_SECONDS - time.perf_counter()
            if rest > 0:
                time.sleep(rest)
            for port in self._ready(0):
                self._take(port)
        return worst

    def _ready(self, timeout: float) -> list[Port]:
        """Ports with replies; looks for requests to send again when it is time."""
        events = self._epoll.poll(timeout)
        now = time.perf_counter()
        self._swept = now >= self._next_sweep
        if self._swept:
            self._sweep(now)
            self._next_sweep = now + _SWEEP_SECONDS
        return [self._by_descriptor[descriptor] for descriptor, _ in events]

    def _fill(self, port: Port, feed: Feed, room: int, planned: float | None) -> None:
        """Send up to `room` new requests from one port."""
        while room and not feed.ended:
            session, at, size = feed.take(room)
            take_free = port.free.popleft
            identifiers = [take_free() for _ in range(size)]
            self.packets.write(port.source.slots, identifiers, session, at)
            octets = self.packets.length(at.status)
            now = time.perf_counter() if planned is None else planned
            outstanding, sent_at, tries = port.outstanding, port.sent_at, port.tries
            sessions, octets_of, at_of = port.session, port.octets, port.at
            for identifier in identifiers:
                outstanding[identifier] = True
                sent_at[identifier] = now
                tries[identifier] = 0
                sessions[identifier] = session
                octets_of[identifier] = octets
                at_of[identifier] = at
                session += 1
            port.source.send(identifiers, octets)
            self._sent += size
            self._outstanding += size
            room -= size

    def _take(self, port: Port) -> None:
        """Take the replies of one port, verify and count them."""
        replies = port.source.receive()
        now = time.perf_counter()
        secret = self.packets.secret
        outstanding, sent_at, release = port.outstanding, port.sent_at, port.free.append
        authenticators = port.source.slots.authenticators
        counts, per_second = self._latency.counts, self._latency.per_second
        last, longest = len(counts) - 1, self._longest
        verify_in, log = self._verify_in, self._ack_log
        good = 0
        for reply in replies:
            if len(reply) < 20 or reply[0] != _ACCOUNTING_RESPONSE:
                self._unverified += 1
                continue
            identifier = reply[1]
            if not outstanding[identifier]:
                self._unexpected += 1
                continue
            verify_in -= 1
            if not verify_in:
                verify_in = self.verify_every
                # RFC 2866 section 3: code, identifier, length, the request's
                # authenticator, attributes, secret.
                if reply[4:20] != (
                    md5(
                        b"".join(
                            (reply[:4], authenticators[identifier], reply[20:], secret)
                        )
                    ).digest()
                ):
                    self._unverified += 1
                    continue
            waited = now - sent_at[identifier]
            if waited > longest:
                longest = waited
            bucket = int(waited * per_second)
            counts[bucket if bucket < last else last] += 1  # noqa: FURB136 - min() is slower
            outstanding[identifier] = False
            release(identifier)
            good += 1
            if log is not None:
                self._write_log(log, port, identifier)
        self._verify_in, self._longest = verify_in, longest
        self._acknowledged += good
        self._outstanding -= good

    def _write_log(self, log: TextIO, port: Port, identifier: int) -> None:
        at, session = port.at[identifier], port.session[identifier]
        assert at is not None
        sent, received = self.packets.octets(session, at.round)
        log.write(
            f"{self.packets.session_id(session)} {at.status.value} "
            f"{self.packets.seconds(at)} {sent} {received}\n"
        )

    def _sweep(self, now: float) -> None:
        """Send again what waits for more than its time, or give it up."""
        for port in self._ports:
            if len(port.free) == SLOTS:
                continue
            again: dict[int, list[int]] = {}
            for identifier in range(SLOTS):
                if not port.outstanding[identifier]:
                    continue
                tries = port.tries[identifier]
                due = port.sent_at[identifier] + (tries + 1) * self.retransmit_seconds
                if now < due:
                    continue
                if tries == self.retransmissions:
                    port.outstanding[identifier] = False
                    port.free.append(identifier)
                    self._outstanding -= 1
                    self._lost += 1
                    continue
                port.tries[identifier] = tries + 1
                again.setdefault(port.octets[identifier], []).append(identifier)
            for octets, identifiers in again.items():
                port.source.send(identifiers, octets)
                self._retransmitted += len(identifiers)


def _target(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDRESS:PORT")
    return host, int(port)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.radius_load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--target", type=_target, default=("127.0.0.1", 1813), metavar="ADDRESS:PORT")
    add("--secret", default="testing123", help="shared secret (%(default)s)")
    add("--sources", type=int, default=64, help="source ports (%(default)s)")
    add("--window", type=int, default=16, help="outstanding per port (%(default)s)")
    add("--sessions", type=int, default=100_000, help="sessions (%(default)s)")
    add("--first-session", type=int, default=0, help="number of the first one")
    add("--run", default="0001", help="4 characters that begin Acct-Session-Id")
    add(
        "--phase",
        action="append",
        choices=("starts", "interims", "stops"),
        help="in this order, may be repeated (default: starts, interims)",
    )
    add("--rounds", type=int, default=0, help="passes of interims (0: no end)")
    add("--first-round", type=int, default=1, help="round of the first interim or stop")
    add("--packets", type=int, default=0, help="stop after so many requests")
    add("--seconds", type=float, default=0.0, help="stop after so many seconds")
    add("--rate", type=float, default=0.0, help="open loop: requests a second")
    add("--interval", type=int, default=600, help="seconds between interims, as told")
    add("--verify-every", type=int, default=1, help="verify one reply in so many")
    add("--cpu", type=int, help="run on this processor only")
    add("--ack-log", type=Path, help="write the acknowledged packets to this file")
    add("--json", action="store_true", help="print the figures as one JSON object")
    return parser


def main() -> int:
    """Run the load as the command line says; 1 when a packet was lost."""
    chosen = _arguments().parse_args()
    if chosen.cpu is not None:
        os.sched_setaffinity(0, {chosen.cpu})
    phases = chosen.phase or ["starts", "interims"]
    endless = "interims" in phases and not chosen.rounds
    seconds = chosen.seconds
    if endless and not chosen.packets and not seconds:
        seconds = 10.0
    packets = AccountingPackets(
        secret=chosen.secret.encode(), run=chosen.run, interval_seconds=chosen.interval
    )
    log = chosen.ack_log.open("w") if chosen.ack_log else None
    with RadiusLoad(
        chosen.target,
        packets,
        sessions=chosen.sessions,
        first_session=chosen.first_session,
        sources=chosen.sources,
        window=chosen.window,
        verify_every=chosen.verify_every,
        ack_log=log,
    ) as load:
        result = load.run(
            passes(phases, rounds=chosen.rounds, first=chosen.first_round),
            max_packets=chosen.packets,
            max_seconds=seconds,
            rate=chosen.rate,
        )
    if log is not None:
        log.close()
    print(json.dumps(asdict(result)) if chosen.json else result.line())
    return 1 if result.lost or result.unverified else 0


if __name__ == "__main__":
    sys.exit(main())
