"""The values that settings and the network are written in, and what makes them valid.

Each check takes what was written and says what is wrong with it, or returns an empty
string; the annotated types attach a check to a field of the schema.
"""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import parse_qs, urlsplit

from msgspec import Meta
from netaddr import (
    AddrFormatError,
    IPAddress,
    IPNetwork,
)

_HOST_AND_PORT = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<four>[^:]*)):(?P<port>[0-9]+)")
_V4_MAPPED: Final = IPNetwork("::ffff:0:0/96")


def host_and_port(text: str) -> tuple[str, int]:
    """Split ``127.0.0.1:1813`` or ``[::1]:1813``; ValueError says what is wrong.

    Port 0 lets the system choose one. Names are refused: a daemon that listens on
    whatever a resolver says today is a surprise.
    """
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        msg = "must be host:port, such as 127.0.0.1:1813 or [::1]:1813"
        raise ValueError(msg)
    six, host = match["six"], match["six"] or match["four"] or ""
    address = _address(host.partition("%")[0] if six else host)
    if address is None or address.version != (6 if six is not None else 4):
        msg = f"{host!r} is not an address; write 127.0.0.1:1813 or [::1]:1813"
        raise ValueError(msg)
    # A longer number is out of range without being converted.
    port = int(match["port"]) if len(match["port"]) <= 5 else 65536
    if port > 65535:
        msg = f"port {match['port'][:20]} is out of range, 0 to 65535"
        raise ValueError(msg)
    return host, port


def prefix_of(text: str) -> IPNetwork:
    """Read an address or a CIDR prefix; ValueError says what is wrong.

    A bare address is the prefix that holds it alone, and an IPv4-mapped one is the IPv4
    prefix it stands for, because a dual-stack socket reports peers that way.
    """
    base, slash, length = text.partition("/")
    address = _address(base)
    if address is None or (slash and not re.fullmatch(r"[0-9]{1,3}", length)):
        msg = f"{text!r} is not a prefix such as 192.0.2.0/24 or 2001:db8::/32"
        raise ValueError(msg)
    width = 32 if address.version == 4 else 128
    if slash and int(length) > width:
        msg = f"the prefix length of {text!r} is out of range, 0 to {width}"
        raise ValueError(msg)
    prefix = IPNetwork(f"{base}/{length}" if slash else f"{base}/{width}")
    if prefix.ip != prefix.network:
        msg = f"{text!r} has host bits set; its prefix is {prefix.cidr}"
        raise ValueError(msg)
    if address.version == 6 and prefix in _V4_MAPPED:
        return IPNetwork(f"{address.ipv4()}/{prefix.prefixlen - 96}")
    return prefix


def _address(text: str) -> IPAddress | None:
    try:
        return IPAddress(text)
    except (AddrFormatError, ValueError):
        return None


def _check_listen(text: str) -> str:
    try:
        host_and_port(text)
    except ValueError as error:
        return str(error)
    return ""


def _check_listen_ipv4(text: str) -> str:
    # DHCPv4 is of IPv4 alone.
    return _check_listen(text) or ("is not an IPv4 address" if "[" in text else "")


def _check_prefix(text: str) -> str:
    try:
        prefix_of(text)
    except ValueError as error:
        return str(error)
    return ""


def _check_block(text: str) -> str:
    # A bare address is a likely slip where a block is meant, so the length is required.
    wrong = _check_prefix(text)
    return wrong or ("" if "/" in text else f"{text!r} lacks its prefix length")


def _check_address(text: str) -> str:
    return "" if _address(text) else f"{text!r} is not an IP address"


def _check_database(text: str) -> str:
    form = "must be 'sqlite' or 'postgresql://...'"
    if text == "sqlite":
        return ""
    try:
        url = urlsplit(text)
    except ValueError:
        return form
    if url.scheme != "postgresql" or "://" not in text:
        return form
    try:
        if url.port == 0:
            return "has a port that is none"
    except ValueError:
        return "has a port that is none"
    # A host may be absent: then the server's local socket is meant.
    if url.path.strip("/") or {"dbname", "service"} & parse_qs(url.query).keys():
        return ""
    return "names no database: postgresql://[user@]host/DATABASE"


def _check_broker(text: str) -> str:
    form = "must be empty or mqtt://[user:password@]host[:port] (or mqtts://)"
    if not text:
        return ""
    try:
        url = urlsplit(text)
        usable = url.scheme in {"mqtt", "mqtts"} and url.hostname and url.port != 0
    except ValueError:  # a port that is no number, or out of range
        return form
    return "" if usable else form


def _check_name(text: str) -> str:
    # Names stand in URLs and MQTT topics, where these would change the meaning.
    if not text or text != text.strip() or not text.isprintable():
        return "must be a printable name without blanks at its ends"
    if set(text) & set("/+#"):
        return "must not contain '/', '+' or '#'"
    return ""


def _check_mac_address(text: str) -> str:
    if re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", text):
        return ""
    return "must be a MAC address such as 00:00:5e:00:53:01, in small letters"


MacAddress = Annotated[str, Meta(extra={"check": _check_mac_address})]


def _check_ipv4(text: str) -> str:
    address = _address(text)
    wrong = address is None or address.version != 4
    return f"{text!r} is not an IPv4 address" if wrong else ""


def _check_identifier(text: str) -> str:
    if text == "0.0.0.0":  # noqa: S104  nothing is bound here
        return f"{text!r} is no address of a server; leave it empty for each packet's"
    return _check_ipv4(text) if text else ""


_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


def _check_domain(text: str) -> str:
    labels = text.removesuffix(".").split(".")
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return f"{text!r} is not a domain name"
    return ""


def _check_hexadecimal(text: str) -> str:
    if re.fullmatch(r"(?:[0-9A-Fa-f]{2}){1,255}", text):
        return ""
    return "must be 1 to 255 octets in hexadecimal"


Listen = Annotated[str, Meta(extra={"check": _check_listen})]
ListenIpv4 = Annotated[str, Meta(extra={"check": _check_listen_ipv4})]
Prefix = Annotated[str, Meta(extra={"check": _check_prefix})]
Block = Annotated[str, Meta(extra={"check": _check_block})]
Address = Annotated[str, Meta(extra={"check": _check_address})]
Ipv4 = Annotated[str, Meta(extra={"check": _check_ipv4})]
Identifier = Annotated[str, Meta(extra={"check": _check_identifier})]
Domain = Annotated[str, Meta(extra={"check": _check_domain})]
Hexadecimal = Annotated[str, Meta(extra={"check": _check_hexadecimal})]
Database = Annotated[str, Meta(extra={"check": _check_database})]
Broker = Annotated[str, Meta(extra={"check": _check_broker})]
Name = Annotated[str, Meta(max_length=128, extra={"check": _check_name})]
Text = Annotated[str, Meta(min_length=1, max_length=253)]
"""Something a packet carries: never empty, never longer than an attribute."""
