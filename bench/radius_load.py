"""Load of RADIUS accounting: many source ports, many requests outstanding.

    python -m bench.radius_load --target 127.0.0.1:1813 --secret testing123 \
        --sessions 100000 --phase starts --phase interims --seconds 10

One process that sends Accounting-Requests of numbered sessions and checks the replies.
Each phase goes through the sessions: `starts` and `stops` once, `interims` again and
again (`--rounds` times or until `--packets` or `--seconds` is reached), with counters
that grow from round to round.

Closed loop (the default): every source port keeps `--window` requests outstanding, and
a reply makes room for the next request; the figure is the server's highest rate. Open
loop (`--rate N`): N requests a second whatever the server does, what is due after two
milliseconds from the next port, 64 at most; response times count from when a request
was due if the generator itself came late, so that a server that stalls cannot hide it.

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
from bench.load.packets import SLOTS, AccountingPackets, Pass
from bench.load.port import Port, Sent
from bench.load.result import LoadResult
from bench.load.work import Feed, passes
from daemon.segmentation import DATAGRAMS_MAX

__all__ = ["LoadResult", "RadiusLoad", "passes"]

_TICK_SECONDS = 0.002
"""How often an open loop sends what is due."""
_IN_TIME_SECONDS = 0.003
"""An open-loop request sent within this time of when it was due counts as in time: a
tick, and what the loop itself takes."""
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
                room = min(due, len(port.free), DATAGRAMS_MAX)
                if not room:
                    full += 1
                    continue
                full = 0
                planned = started + self._sent / rate
                lateness = now - planned
                worst = max(worst, lateness)
                in_time = lateness <= _IN_TIME_SECONDS
                self._fill(port, feed, room, None if in_time else planned)
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
        free, waiting = port.free, port.waiting
        while room and not feed.ended:
            session, report, size = feed.take(room)
            identifiers = free[:size]
            del free[:size]
            self.packets.write(port.source.slots, identifiers, session, report)
            octets = self.packets.length(report.status)
            now = time.perf_counter() if planned is None else planned
            sent = Sent(identifiers, session, report, octets, now)
            for identifier in identifiers:
                waiting[identifier] = sent
            port.source.send(identifiers, octets)
            self._sent += size
            self._outstanding += size
            room -= size

    def _take(self, port: Port) -> None:
        """Take the replies of one port, verify and count them."""
        replies = port.source.receive()
        now = time.perf_counter()
        waiting, counts = port.waiting, self._latency.counts
        verify_in, log = self._verify_in, self._ack_log
        latest, bucket = None, 0
        answered: list[int] = []
        for together, size in replies:
            octets = self._responses(together, size)
            if not octets:
                continue
            for place, identifier in enumerate(octets[1::size]):
                sent = waiting[identifier]
                if sent is None:
                    self._unexpected += 1
                    continue
                verify_in -= 1
                if not verify_in:
                    verify_in = self.verify_every
                    reply = octets[place * size : (place + 1) * size]
                    if not self.packets.is_authentic(reply, port.source.slots):
                        self._unverified += 1
                        continue
                if sent is not latest:  # what left together and came together
                    latest, waited = sent, now - sent.at
                    bucket = self._latency.bucket(waited)
                    self._longest = max(self._longest, waited)
                counts[bucket] += 1
                waiting[identifier] = None
                answered.append(identifier)
                if log is not None:
                    self._write_log(log, sent, identifier)
        port.free += answered
        self._verify_in = verify_in
        self._acknowledged += len(answered)
        self._outstanding -= len(answered)

    def _responses(self, octets: bytes, size: int) -> bytes:
        """Those of some replies of `size` octets that may be Accounting-Responses."""
        if size < 20:
            self._unverified += len(octets) // size if size else 1
            return b""
        codes = octets[::size]
        wrong = len(codes) - codes.count(_ACCOUNTING_RESPONSE)
        if not wrong:
            return octets
        self._unverified += wrong
        return b"".join(
            octets[at : at + size]
            for at in range(0, len(octets), size)
            if octets[at] == _ACCOUNTING_RESPONSE
        )

    def _write_log(self, log: TextIO, sent: Sent, identifier: int) -> None:
        at, session = sent.report, sent.session_of(identifier)
        out, in_ = self.packets.octets(session, at.round)
        log.write(
            f"{self.packets.session_id(session)} {at.status.value} "
            f"{self.packets.seconds(at)} {out} {in_}\n"
        )

    def _sweep(self, now: float) -> None:
        """Send again what waits for more than its time, or give it up."""
        for port in self._ports:
            if len(port.free) == SLOTS:
                continue
            again: dict[int, list[int]] = {}
            for identifier, sent in enumerate(port.waiting):
                if sent is None:
                    continue
                if now < sent.at + (sent.tries + 1) * self.retransmit_seconds:
                    continue
                if sent.tries == self.retransmissions:
                    port.waiting[identifier] = None
                    port.free.append(identifier)
                    self._outstanding -= 1
                    self._lost += 1
                    continue
                port.waiting[identifier] = sent._replace(tries=sent.tries + 1)
                again.setdefault(sent.octets, []).append(identifier)
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
