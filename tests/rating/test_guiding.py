"""Whose use it was: Class, user name, circuit, address and lease, in that order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from config.network import Network
from radius.accounting import Description
from rating.guiding import Guide, Guided, GuidedBy, Unguided, class_values

AT = 1_793_520_000
NETWORK = msgspec.convert(
    {
        "nas": [
            {"name": "bng1", "area": "harbour", "address": "192.0.2.1"},
            {"name": "bng2", "area": "hills", "address": "192.0.2.2"},
            {"name": "any", "address": "192.0.2.3"},
        ],
        "line": [
            {"name": "h1", "area": "harbour", "circuit_id": "1", "remote_id": "r1"},
            {"name": "h2", "area": "harbour", "circuit_id": "2"},
            {"name": "hills1", "area": "hills", "circuit_id": "1"},
        ],
        "service": [
            {
                "name": name,
                "isp": isp,
                "line": line,
                "offering": "",
                "user_names": [f"{name}@example"],
            }
            for name, isp, line in (
                ("one", "aurora", "h1"),
                ("two-a", "aurora", "h2"),
                ("two-b", "borealis", "h2"),
                ("far", "borealis", "hills1"),
            )
        ],
    },
    Network,
)
LEASES = {"100.64.0.1": "h1", "100.64.0.2": "h2", "2001:db8::/56": "hills1"}


def attributes(*values: bytes) -> bytes:
    """Class attributes as a description joins them."""
    return b"".join(bytes((25, len(v) + 2)) + v for v in values)


def guide() -> Guide:
    """A guide that knows Class values with a mark, one own address and some leases."""

    def read_class(value: bytes) -> str | None:
        return value[3:].decode() if value.startswith(b"FL1") else None

    def line_of(address: str, at: int) -> str | None:
        assert at == AT
        return LEASES.get(address)

    own = {"198.51.100.7": "far", "198.51.100.8": "gone"}
    return Guide(NETWORK, read_class=read_class, own_addresses=own, line_of=line_of)


@pytest.mark.parametrize(
    ("nas", "shown", "expected"),
    [
        (
            "bng1",
            {"class_": attributes(b"FL1far"), "user_name": "one@example"},
            Guided("far", "borealis", GuidedBy.CLASS),
        ),
        (
            "bng1",
            {"class_": attributes(b"x", b"FL1gone"), "user_name": "ONE@example"},
            Guided("one", "aurora", GuidedBy.USER_NAME),
        ),
        (
            "bng1",
            {"user_name": "stranger", "agent_circuit_id": "1"},
            Guided("one", "aurora", GuidedBy.CIRCUIT),
        ),
        (
            "bng2",
            {"nas_port_id": "1"},
            Guided("far", "borealis", GuidedBy.CIRCUIT),
        ),
        ("any", {"agent_circuit_id": "1"}, Unguided.SEVERAL_SERVICES),
        (
            "bng1",
            {"agent_circuit_id": "?", "agent_remote_id": "r1"},
            Guided("one", "aurora", GuidedBy.CIRCUIT),
        ),
        (
            "bng1",
            {"agent_circuit_id": "2", "framed_ip_address": "100.64.0.1"},
            Unguided.SEVERAL_SERVICES,
        ),
        (
            "bng1",
            {"framed_ip_address": "198.51.100.7"},
            Guided("far", "borealis", GuidedBy.ADDRESS),
        ),
        (
            "bng1",
            {"framed_ip_address": "100.64.0.1"},
            Guided("one", "aurora", GuidedBy.LEASE),
        ),
        (
            "bng1",
            {
                "framed_ip_address": "198.51.100.8",
                "delegated_ipv6_prefixes": "2001:db8:1::/56 2001:db8::/56",
            },
            Guided("far", "borealis", GuidedBy.LEASE),
        ),
        ("bng1", {"framed_ip_address": "100.64.0.2"}, Unguided.SEVERAL_SERVICES),
        ("bng1", {}, Unguided.NOTHING_KNOWN),
        ("bng1", {"user_name": "stranger"}, Unguided.NOTHING_KNOWN),
    ],
)
def test_the_most_certain_of_what_is_known_names_the_service(
    nas: str, shown: dict[str, Any], expected: Guided | Unguided
) -> None:
    """In the order of certainty; what names several is left to be guided later."""
    assert expected == guide().guide(nas, Description(**shown), AT)


@pytest.mark.parametrize("broken", [b"\x19", b"\x19\x00abc", b"\x19\xffabc", b"abc"])
def test_class_attributes_that_are_cut_off_end_the_list(broken: bytes) -> None:
    """Whatever the octets are, there is an end."""
    assert len(list(class_values(broken))) <= len(broken)
    assert [b"ab", b"c"] == list(class_values(attributes(b"ab", b"c")))
