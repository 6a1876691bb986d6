"""A capture through the accounting: what a daemon would have made of it.

The requests go through the ledger that the daemon has, on a database that lasts as long
as the replay, with the time of the capture for the time of arrival: so the same capture
gives the same sessions and usage, to the octet, whenever it is replayed. Without the
secrets nothing can be verified, so a capture is taken at its word; a NAS is known by
its source address, and as the daemon takes one whose counters it knows nothing of.

Scapy reads the file. It is an optional extra (it is under the GPL), and this is the
only module that imports it, when it is asked to read.
"""

from __future__ import annotations

import ipaddress
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from config.network import Network, bodies
from config.schema import AccountingSettings
from daemon.fragments import Reassembly
from daemon.ledger import Ledger
from radius.packet import Code, Malformed, trim, walk
from radius.records import Origin, encode_origin
from storage.database import Database, migrate, open_database
from storage.journal import Block

_JOURNAL = "replay"
_UDP = 17


class CaptureError(Exception):
    """The file cannot be read as a capture; the message says why."""


@dataclass(slots=True)
class Found:
    """What a capture held: frames, accounting requests among them, and datagrams that
    begin as one and are cut off or malformed."""

    frames: int = 0
    requests: int = 0
    broken: int = 0


def read_requests(capture: Path, found: Found) -> Iterator[Block]:
    """Yield the accounting requests of a capture in its order, counting in ``found``:
    each as a block of its own, since each has its own time.

    Any link type that scapy knows will do, with or without VLAN tags, pcap or pcapng;
    fragments are put together, and come when the last of them was captured. A
    capture that ends within a frame ends before it. Raises CaptureError, also when
    scapy is not installed.
    """
    try:
        # The layers register themselves; RADIUS is left out, its octets are ours.
        import scapy.layers.inet6
        import scapy.layers.l2  # noqa: F401
        from scapy.error import Scapy_Exception
        from scapy.layers.inet import IP, UDP
        from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
        from scapy.utils import PcapReader
    except ImportError as error:
        raise CaptureError(
            "captures are read with scapy, which is not installed:"
            " pip install 'fairlane[pcap]'"
        ) from error
    pieces = Reassembly()
    reader: Any = PcapReader  # its signature leaves out the open file that it takes
    try:
        # Opened here: scapy does not close a file that it refuses.
        with capture.open("rb") as file, reader(file) as frames:
            for frame in frames:
                found.frames += 1
                network = frame.getlayer(IP) or frame.getlayer(IPv6)
                fragment = frame.getlayer(IPv6ExtHdrFragment)
                # What was on the wire, not what scapy would build again.
                if network is None:
                    continue
                if fragment is not None and fragment.nh == _UDP:
                    datagram = pieces.add(
                        (network.src, network.dst, fragment.id),
                        fragment.offset * 8,
                        bytes(fragment.payload.original),
                        more=bool(fragment.m),
                    )
                elif network.version == 4 and (network.frag or network.flags.MF):
                    datagram = network.proto == _UDP and pieces.add(
                        (network.src, network.dst, network.id),
                        network.frag * 8,
                        bytes(network.payload.original),
                        more=bool(network.flags.MF),
                    )
                else:
                    layer = frame.getlayer(UDP)
                    datagram = layer and bytes(layer.original)
                if not datagram:
                    continue
                packet = _accounting_request(datagram[8:])
                if isinstance(packet, Malformed):
                    found.broken += 1
                elif packet is not None:
                    found.requests += 1
                    source = str(network.src)
                    address = ipaddress.ip_address(source).packed
                    port = int.from_bytes(datagram[:2])
                    yield Block(
                        found.requests,
                        1,
                        int(frame.time * 1_000_000_000),
                        encode_origin(Origin(address, port, source)) + packet,
                    )
    except OSError as error:
        raise CaptureError(f"{capture}: {error.strerror}") from error
    except (Scapy_Exception, EOFError, struct.error) as error:
        raise CaptureError(f"{capture}: no capture: {error or 'too short'}") from error


def _accounting_request(octets: bytes) -> bytes | Malformed | None:
    """Trim and check a datagram that says it is a request; None when it does not."""
    if not octets or octets[0] != Code.ACCOUNTING_REQUEST:
        return None
    packet = trim(octets)
    if isinstance(packet, Malformed):
        return packet
    walked = walk(packet)
    return walked if isinstance(walked, Malformed) else packet


@contextmanager
def replayed(
    requests: Iterable[Block], network: Network | None = None
) -> Iterator[Database]:
    """Apply requests to a database of their own, and lend it until the block ends.

    With a network, usage is guided to its services and rated by its tariffs.
    """
    settings = AccountingSettings()
    with tempfile.TemporaryDirectory(prefix="fairlane-replay-") as folder:
        database = open_database("sqlite", folder)
        try:
            migrate(database)
            ledger = Ledger(database, settings)
            ledger.know(bodies(network or Network()))
            iterator = iter(requests)
            while batch := list(islice(iterator, settings.batch_records)):
                ledger.apply(_JOURNAL, batch)
            yield database
        finally:
            database.close()
