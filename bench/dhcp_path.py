"""CPU of the address server alone, a packet: no sockets, a real journal, one process.

    python -m bench.dhcp_path [--exchanges N] [--profile] [--folder DIR]

Packets come from memory as fast as they are taken, so the figure is what the server's
own code and its commits cost; what `bench.dhcp` shows above it is the sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import socket
import struct
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from config.addresses import Pool
from config.network import Network
from config.plant import Area, Relay
from config.schema import LeaseSettings
from daemon.random_numbers import unforeseeable
from daemon.role import GC_THRESHOLDS
from ipserver.allocation import Allocation
from ipserver.intake import Limits
from ipserver.leasequery import LeaseQueries
from ipserver.network_options import NetworkOptions
from ipserver.outcomes import Statistics
from ipserver.ports import Received, Reply
from ipserver.relays import RelayTable, sockaddr
from ipserver.replies import Replies
from ipserver.server import DhcpServer
from storage.group_commit import GroupCommit
from storage.journal import JournalWriter

RELAY = socket.inet_aton("127.0.0.1")
_SOURCE = sockaddr(RELAY, 67)
_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s192s4s")
_COOKIE = b"\x63\x82\x53\x63"
WANTED = b"\x37\x07\x01\x1c\x02\x03\x0f\x06\x0c"
"""What perfdhcp asks for."""


class _Memory:
    """A socket that has everything already, and keeps what is sent."""

    def __init__(self) -> None:
        self.waiting: list[list[Received]] = []
        self.sent: list[bytes] = []

    def load(self, packets: list[bytes]) -> None:
        """Take what is to be received."""
        received = [(octets, _SOURCE, b"") for octets in packets]
        parts = [received[at : at + 64] for at in range(0, len(received), 64)]
        self.waiting = parts[::-1]

    def receive(self) -> Sequence[Received]:
        """Give the next 64."""
        return self.waiting.pop() if self.waiting else []

    def send(self, replies: list[Reply]) -> int:
        """Take the replies."""
        self.sent += [octets for octets, _, _ in replies]
        return len(replies)


def packet(number: int, options: bytes) -> bytes:
    """Make a request of a client behind the relay."""
    chaddr = b"\2" + number.to_bytes(5)
    none = bytes(4)
    header = _HEADER.pack(
        *(1, 1, 6, 1, number, 0, 0, none, none, none, RELAY, chaddr, b"", _COOKIE)
    )
    return header + options + b"\xff"


def asking(number: int) -> bytes:
    """Make the DHCPDISCOVER of a client."""
    return packet(number, b"\x35\x01\x01" + WANTED)


def taking(offer: bytes) -> bytes:
    """Make the DHCPREQUEST that takes an offer."""
    chosen = b"\x36\x04" + RELAY + b"\x32\x04" + offer[16:20]
    return packet(int.from_bytes(offer[4:8]), b"\x35\x01\x03" + chosen + WANTED)


def server_on(commits: GroupCommit, *, to_source: bool = False) -> DhcpServer:
    """Make the server of a network of one pool and one relay."""
    network = Network(
        area=(Area(name="bench"),),
        relay=(Relay(name="relay", area="bench", giaddr="127.0.0.1"),),
        pool=(
            Pool(
                name="pool",
                area="bench",
                walled_garden=True,
                prefixes=("10.0.0.0/8",),
                lease_seconds=3600,
                dns_servers=("192.0.2.53",),
            ),
        ),
    )
    allocation = Allocation(
        LeaseSettings(), random=unforeseeable().__next__, now=time.time()
    )
    allocation.change_network(network, time.time())
    server = DhcpServer(
        answers=allocation,
        commits=commits,
        replies=Replies(NetworkOptions(network), Statistics(), to_source=to_source),
        lease_queries=LeaseQueries(allocation, ()),
        limits=Limits(16, 1000, 10_000_000, 1_000_000, 60, 65_536, 2, 1024),
        subnet_selection=False,
        identifier_of=lambda _, __: RELAY,
        clock=time.time,
        monotonic=time.monotonic,
        time_ns=time.time_ns,
    )
    server.change_network(RelayTable(network), NetworkOptions(network))
    return server


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--exchanges", type=int, default=50_000)
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
        server = server_on(commits)
        endpoint = _Memory()
        readable = server.listen(endpoint)
        profile = cProfile.Profile() if options.profile else None

        async def serve(packets: list[bytes], name: str) -> list[bytes]:
            endpoint.load(packets)
            endpoint.sent = []
            cpu = time.process_time()
            if profile:
                profile.enable()
            while readable() or commits.busy:
                await commits.drain()
            if profile:
                profile.disable()
            cpu = time.process_time() - cpu
            print(f"{name:8} {cpu / len(packets) * 1e6:6.2f} us of CPU a packet")
            return endpoint.sent

        async def run() -> None:
            count = options.exchanges
            offers = await serve([asking(n) for n in range(count)], "DISCOVER")
            requests = [taking(offer) for offer in offers]
            acks = await serve(requests, "REQUEST")
            assert count == len(offers) == len(acks)

        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)  # as every role does
        asyncio.run(run())
        if profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(32)
        commits.close()
    print(
        f"commits {len(seconds)}, {sum(seconds) / len(seconds) * 1e3:.2f} ms each,"
        f" {sum(seconds) / options.exchanges * 1e6:.2f} us an exchange"
    )


if __name__ == "__main__":
    main()
