"""CPU of the receiver alone, a packet: no sockets, a real journal, one process.

    python -m bench.receiver_path [--packets N] [--profile] [--folder DIR]

Packets come from memory as fast as they are taken, so the figure is what the receiver's
own code and its commits cost; what `bench.accounting` shows above it is the sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.load.packets import AccountingPackets, Pass, Slots, Status
from config.plant import Nas
from radius.nas import NasTable
from radius.records import Origin, encode_origin
from radius.server import RadiusServer, Received, Reply
from storage.group_commit import GroupCommit
from storage.journal import JournalWriter

_SECRET = b"a secret of 24 octets ..."
_SOURCE = b"\x02\x00\x13\x88\x7f\x00\x00\x01" + bytes(8)


class _Memory:
    """A socket that has everything already, and sends nowhere."""

    def __init__(self, packets: list[bytes]) -> None:
        self._waiting = [
            [(packet, _SOURCE, b"") for packet in packets[at : at + 64]]
            for at in range(0, len(packets), 64)
        ][::-1]

    def receive(self) -> Sequence[Received]:
        """Give the next 64."""
        return self._waiting.pop() if self._waiting else []

    def send(self, replies: list[Reply]) -> int:
        """Take the replies."""
        return len(replies)


def packets_of(made: AccountingPackets, sessions: int, at: Pass) -> list[bytes]:
    """Make one packet of each session."""
    slots = Slots()
    packets: list[bytes] = []
    for first in range(0, sessions, 256):
        identifiers = list(range(min(256, sessions - first)))
        made.write(slots, identifiers, first, at)
        packets += [slots.packet(i) for i in identifiers]
    return packets


async def _drain(readable: Callable[[], bool], commits: GroupCommit) -> None:
    while readable():
        await commits.drain()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--packets", type=int, default=200_000)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    seconds: list[float] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        writer = JournalWriter(Path(folder), file_bytes=64 << 20)
        commits = GroupCommit(
            writer,
            monotonic=time.monotonic,
            observe=lambda took, _: seconds.append(took),
        )
        nas = Nas(name="bng1", address="127.0.0.1/32", secrets=(_SECRET.decode(),))
        server = RadiusServer(
            table=NasTable.build([nas]),
            commits=commits,
            address_of=lambda _: "127.0.0.1",
            origin_of=lambda source, name: encode_origin(Origin(source[4:8], 1, name)),
            monotonic=time.monotonic,
            time_ns=time.time_ns,
            duplicate_seconds=15,
            queue_records=65_536,
            status_server_per_second=10,
            on_unknown=print,
        )
        made = AccountingPackets(secret=_SECRET)
        endpoint = _Memory(packets_of(made, options.packets, Pass(Status.INTERIM, 1)))
        readable = server.listen(endpoint, "accounting")
        profile = cProfile.Profile() if options.profile else None
        wall, cpu = time.perf_counter(), time.process_time()
        if profile:
            profile.enable()
        asyncio.run(_drain(readable, commits))
        if profile:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        commits.close()
    print(f"wall  {wall / options.packets * 1e6:6.2f} us a packet")
    print(f"cpu   {cpu / options.packets * 1e6:6.2f} us a packet")
    print(
        f"commits {len(seconds)}, {sum(seconds) / len(seconds) * 1e3:.2f} ms each,"
        f" {sum(seconds) / options.packets * 1e6:.2f} us a packet"
    )


if __name__ == "__main__":
    main()
