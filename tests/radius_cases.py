"""Packets that other people captured, where the folder of cases is there.

They are data under their own licences and no part of the project: a test that needs
them skips, saying so, where they are not.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parent.parent.parent / "shared" / "cases" / "radius"

needs_cases = pytest.mark.skipif(
    not CASES.is_dir(), reason="the folder ../shared/cases with captures is absent"
)


def captured(name: str) -> list[bytes]:
    """Read the UDP payloads of a capture, in order."""
    from scapy.layers.inet import UDP
    from scapy.utils import rdpcap

    # What was on the wire, not what scapy would build again.
    return [frame[UDP].original[8:] for frame in rdpcap(str(CASES / name))]


def packet(name: str) -> bytes:
    """Read a file that is one packet."""
    return (CASES / name).read_bytes()


_DUMP = re.compile(r"(?:^ {6}(?:[0-9a-f]{2} ?)+\n)+", re.MULTILINE)


def printed(name: str) -> list[bytes]:
    """Read the hexadecimal packets of an RFC's examples, in order."""
    text = (CASES / name).read_text()
    # A dump may run over the foot and the head of two pages.
    text = re.sub(r"\n+[^\n]*\[Page \d+\]\n\f?\n?RFC [^\n]*\n+", "\n", text)
    return [bytes.fromhex(found[0]) for found in _DUMP.finditer(text)]
