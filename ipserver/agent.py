"""What a relay says in option 82, and what of it a reply gives back (RFC 3046).

The content is opaque octets but for the sub-options that say where the client is and
whom the reply goes through. What was read of one relay's words is kept: the DISCOVER
and the REQUEST of an exchange carry the same.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ipserver.ask import Agent
from ipserver.dhcp import Option, SubOption

_CIRCUIT_ID: Final = int(SubOption.CIRCUIT_ID)
_REMOTE_ID: Final = int(SubOption.REMOTE_ID)
_SUBSCRIBER_ID: Final = int(SubOption.SUBSCRIBER_ID)
_AGENT: Final = int(Option.AGENT_INFORMATION)

_REMEMBERED = 8192
"""Option contents kept: the exchanges of a second under load."""


class Relayed(Struct, frozen=True, gc=False):
    """Option 82, read.

    ``echo`` is the whole option as replies carry it, code and length included. ``link``
    (RFC 3527) and ``override`` (RFC 5107) are 4 octets, or empty. ``port`` tells that
    the relay listens where it sent from (RFC 8357). ``vpn`` is sub-option 151's content
    (RFC 6607), None where there is none.
    """

    agent: Agent
    echo: bytes
    link: bytes
    override: bytes
    port: bool
    vpn: bytes | None


NO_AGENT: Final = Relayed(Agent(), b"", b"", b"", False, None)


class AgentReader:
    """Reads option 82's content, and remembers some."""

    def __init__(self) -> None:
        self._known: dict[bytes, Relayed] = {}

    def read(self, content: bytes) -> Relayed:
        """Give what ``content`` says; what breaks off ends it."""
        relayed = self._known.get(content)
        if relayed is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            relayed = self._known[content] = _read(content)
        return relayed


def _read(content: bytes) -> Relayed:
    found: dict[int, bytes] = {}
    kept = bytearray()
    place, end = 0, len(content)
    while place + 1 < end:
        code, start = content[place], place + 2
        following = start + content[place + 1]
        if following > end:
            break
        # A sub-option stands once; of two the first counts, as relays in a row add
        # theirs behind it.
        found.setdefault(code, content[start:following])
        if code != SubOption.VPN_CONTROL:
            kept += content[place:following]
        place = following
    kept += content[place:]
    # RFC 6607 section 8: who honours 151 takes 152 out, which tells the relay.
    told = SubOption.VPN in found
    return Relayed(
        Agent(
            content,
            found.get(_CIRCUIT_ID, b""),
            found.get(_REMOTE_ID, b""),
            found.get(_SUBSCRIBER_ID, b""),
        ),
        encode(_AGENT, bytes(kept) if told else content),
        _address(found.get(SubOption.LINK_SELECTION, b"")),
        _address(found.get(SubOption.SERVER_OVERRIDE, b"")),
        SubOption.RELAY_PORT in found,
        found.get(SubOption.VPN),
    )


def _address(octets: bytes) -> bytes:
    return octets if len(octets) == 4 and any(octets) else b""


def encode(code: int, content: bytes) -> bytes:
    """Encode an option; a long one in pieces of 255 octets (RFC 3396 section 6)."""
    if len(content) <= 255:
        return bytes((code, len(content))) + content
    pieces = (content[at : at + 255] for at in range(0, len(content), 255))
    return b"".join(bytes((code, len(piece))) + piece for piece in pieces)
