"""DHCP packets that other people captured, where the folder of cases is there."""

from __future__ import annotations

import json

import pytest
from radius_cases import CASES

DHCP_CASES = CASES.parent / "dhcp"

needs_cases = pytest.mark.skipif(
    not DHCP_CASES.is_dir(), reason="the folder ../shared/cases with captures is absent"
)


def relayed() -> list[bytes]:
    """Read ISC's relayed packets."""
    lines = (DHCP_CASES / "kea_captures.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [bytes.fromhex(packet["hex"]) for packet in found if packet["v"] == 4]


def captured() -> list[bytes]:
    """Read every DHCPv4 payload of every capture, the broken ones too."""
    from scapy.error import Scapy_Exception
    from scapy.layers.inet import UDP
    from scapy.utils import PcapNgReader, PcapReader

    packets = []
    for path in sorted(DHCP_CASES.rglob("*.pcap*")):
        reader = PcapNgReader if path.suffix == ".pcapng" else PcapReader
        try:
            with reader(str(path)) as frames:
                packets += [
                    frame[UDP].original[8:]
                    for frame in frames
                    if UDP in frame and {frame[UDP].sport, frame[UDP].dport} & {67, 68}
                ]
        except (EOFError, Scapy_Exception):
            continue
    return packets
