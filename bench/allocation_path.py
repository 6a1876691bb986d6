"""CPU of the allocation alone, an answer: no sockets, no packets, no disk; and memory.

    python -m bench.allocation_path [--lines N] [--full] [--profile]

Lines ask for their first address (DISCOVER, REQUEST), renew it, and come back after a
restart. ``--full`` has a pool of which every address has been used before.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import random
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec.structs import replace
from netaddr import IPAddress

from config.addresses import Pool
from config.network import Network
from config.offers import Offering, Service
from config.parties import Isp
from config.plant import Area, Line, Relay
from config.schema import LeaseSettings
from ipserver.allocation import Allocation
from ipserver.answer import Ack, Offer
from ipserver.ask import Agent, Ask, Message
from ipserver.records import entries

_NOW = 1_790_000_000
_GIADDR = int(IPAddress("192.0.2.1"))


def network_of(lines: int, prefix: str) -> Network:
    """Make an area with lines of one ISP."""
    return Network(
        area=(Area(name="area"),),
        relay=(Relay(name="relay", area="area", giaddr="192.0.2.1"),),
        isp=(Isp(name="isp"),),
        pool=(Pool(name="pool", area="area", isp="isp", prefixes=(prefix,)),),
        offering=(Offering(name="home", isp="isp", down_kbps=1, up_kbps=1),),
        line=tuple(
            Line(name=f"line-{n}", area="area", circuit_id=f"ge-0/0/1:{n}")
            for n in range(lines)
        ),
        service=tuple(
            Service(name=f"service-{n}", isp="isp", line=f"line-{n}", offering="home")
            for n in range(lines)
        ),
    )


def discover(number: int) -> Ask:
    """Make a line's DISCOVER."""
    circuit = b"ge-0/0/1:%d" % number
    agent = Agent(b"\x01%c%b" % (len(circuit), circuit), circuit)
    hardware = b"\x01" + (0x020000000000 + number).to_bytes(6)
    client = b"\x01" + hardware[1:]
    link = _GIADDR
    message = Message.DISCOVER
    return Ask(message, "area", link, link, agent, client, hardware, 0, 0, False)


def timed(name: str, count: int, work: Callable[[], object]) -> None:
    """Print the CPU time of some work, and what that is for one of its parts."""
    started = time.process_time()
    work()
    seconds = time.process_time() - started
    print(f"{name:<28} {seconds / count * 1e6:7.2f} us  {count / seconds:10,.0f}/s")


def resident() -> int:
    """Octets of memory that this process has now."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    lines = options.lines
    bits = (lines + 1000).bit_length() + 1 - options.full
    network = network_of(lines, f"100.64.0.0/{32 - bits}")
    asks = [discover(number) for number in range(lines)]
    allocation = _allocation(network)
    now, answer = _NOW, allocation.answer
    gc.freeze()
    gc.disable()
    if options.full:
        now = _fill(allocation, (1 << bits) - lines // 100)
    profile = cProfile.Profile() if options.profile else None
    if profile:
        profile.enable()
    offers: list[Ask] = []

    def discovers() -> None:
        for ask in asks:
            offer = answer(ask, now)
            if isinstance(offer, Offer):
                address = offer.lease.address
                offers.append(replace(ask, message=Message.SELECTING, address=address))

    timed("DISCOVER", lines, discovers)
    records: list[bytes] = []

    def answers(of: Iterable[Ask], at: int) -> None:
        for ask in of:
            ack = answer(ask, at)
            if isinstance(ack, Ack) and ack.record is not None:
                records.append(ack.record)

    timed("REQUEST, selecting", len(offers), lambda: answers(offers, now))
    made = len(records)
    renewals = [
        replace(ask, message=Message.RENEWING, area="", giaddr=0, link=0, agent=Agent())
        for ask in offers
    ]
    timed("REQUEST, renewing, cached", made, lambda: answers(renewals, now + 60))
    timed("REQUEST, renewing", made, lambda: answers(renewals, now + 1800))
    if profile:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)
    again = _allocation(network)
    again.begin_loading()
    before = resident()
    timed("record read and restored", made, lambda: _restore(again, records[:made]))
    print(f"{made:,} leases, {(resident() - before) / made:.0f} octets each")


def _allocation(network: Network) -> Allocation:
    made = Allocation(LeaseSettings(), random=random.SystemRandom().random, now=_NOW)
    made.change_network(network, _NOW)
    return made


def _restore(allocation: Allocation, records: Iterable[bytes]) -> None:
    for record in records:
        for entry in entries(record):
            allocation.restore(entry, _NOW)
    allocation.loaded()


def _fill(allocation: Allocation, addresses: int) -> int:
    """Use addresses once, and let them go: nothing in the pool is new any more."""
    now = _NOW
    for number in range(addresses):
        ask = replace(discover(1_000_000_000 + number), agent=Agent(b"x", b"x"))
        allocation.answer(ask, now)
    return now


if __name__ == "__main__":
    main()
