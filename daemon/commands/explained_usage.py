"""A usage record and the packets behind it, as ``fairlane explain`` shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from config.moment import moment
from config.radius_dictionary import tables
from daemon.commands.decode import CODE_NAMES
from radius.attributes import attributes
from radius.packet import Code
from services.packets_behind import Packet


def usage_line(used: dict[str, Any]) -> str:
    """Write a usage record in one line."""
    span = f"{moment(used['started_at'])} to {moment(used['ended_at'])}"
    octets = f"{used['input_octets']} octets in, {used['output_octets']} out"
    return f"{span}, {used['seconds']} s, {octets}, {used['derived']}"


def packet_line(packet: Packet) -> str:
    """Write a packet in one line: where it lies, and what it counts."""
    report = packet.report
    at = datetime.fromtimestamp(packet.received_at_ns / 1e9, UTC)
    counters = f"{report.input_octets} octets in, {report.output_octets} out"
    what = CODE_NAMES[Code.ACCOUNTING_REQUEST]
    when = f"received {at:%Y-%m-%dT%H:%M:%S.%fZ}"
    seconds = f"session time {report.session_seconds} s"
    return f"{packet.journal} {packet.position}: {what} {when}, {seconds}, {counters}"


def packet_object(packet: Packet) -> dict[str, Any]:
    """Give a packet as JSON has it, with its octets and what they say."""
    return {
        "journal": packet.journal,
        "position": packet.position,
        "received_at_ns": packet.received_at_ns,
        "octets": packet.octets.hex(),
        "attributes": {a.name: a.value for a in attributes(packet.octets, tables())},
    }


def plain(row: dict[str, Any] | None) -> dict[str, Any] | None:
    """Give a row with its octets as hexadecimal digits."""
    return row and {
        key: bytes(value).hex() if isinstance(value, bytes | memoryview) else value
        for key, value in row.items()
    }
