"""The numbers of DHCPv4: message types, options, sub-options and places in the header.

Names are those of RFC 2131, RFC 2132, RFC 3046 and the IANA registries.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

HEADER_OCTETS: Final = 240
"""The fixed fields and the magic cookie (RFC 2131 section 3)."""
COOKIE: Final = b"\x63\x82\x53\x63"
BOOTP_OCTETS: Final = 300
"""What a BOOTP message has at least (RFC 1542 section 2.1): some relays and clients
drop a shorter one."""
BROADCAST_FLAG: Final = 0x80
SERVER_PORT: Final = 67
CLIENT_PORT: Final = 68
CHADDR_OCTETS: Final = 16


class MessageType(IntEnum):
    """Option 53's values (RFC 2132 section 9.6, RFC 4388 section 6.1)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8
    LEASEQUERY = 10
    LEASEUNASSIGNED = 11
    LEASEUNKNOWN = 12
    LEASEACTIVE = 13


class Option(IntEnum):
    """The options that this server reads or writes."""

    PAD = 0
    SUBNET_MASK = 1
    ROUTER = 3
    DNS_SERVER = 6
    DOMAIN_NAME = 15
    MTU = 26
    BROADCAST_ADDRESS = 28
    NTP_SERVER = 42
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    OVERLOAD = 52
    MESSAGE_TYPE = 53
    SERVER_IDENTIFIER = 54
    PARAMETER_REQUEST_LIST = 55
    MAXIMUM_SIZE = 57
    T1 = 58
    T2 = 59
    CLIENT_IDENTIFIER = 61
    RAPID_COMMIT = 80
    AGENT_INFORMATION = 82
    LAST_TRANSACTION_TIME = 91
    ASSOCIATED_ADDRESS = 92
    IPV6_ONLY_PREFERRED = 108
    SUBNET_SELECTION = 118
    VPN = 221
    DOMAIN_SEARCH = 119
    END = 255


class SubOption(IntEnum):
    """Sub-options of option 82 that mean something here; all others are echoed."""

    CIRCUIT_ID = 1
    REMOTE_ID = 2
    LINK_SELECTION = 5
    SUBSCRIBER_ID = 6
    SERVER_OVERRIDE = 11
    RELAY_PORT = 19
    VPN = 151
    VPN_CONTROL = 152
