"""What each vendor's NAS is told, read back by pyrad with the dictionary."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pyrad.dictionary import Dictionary
from pyrad.packet import AuthPacket

from config.plant import Profile
from config.radius_dictionary import ROOT
from radius.profiles import PROFILES, Grant, Rates, grant_attributes

DICTIONARY = Dictionary(str(ROOT))
GRANT = Grant(rates=Rates(100_000, 500_000), pool="aurora-harbour")


def read(attributes: bytes) -> dict[str, list[Any]]:
    """Decode attributes with pyrad."""
    head = b"\x02\x01" + (20 + len(attributes)).to_bytes(2) + bytes(16)
    packet = AuthPacket(packet=head + attributes, dict=DICTIONARY)
    return {str(key): list(packet[key]) for key in packet.keys()}  # noqa: SIM118


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (
            "cisco",
            {
                "Cisco-AVPair": [
                    "ip:addr-pool=aurora-harbour",
                    "ip:qos-policy-in=add-class(sub,(class-default),police(100000000))",
                    "ip:qos-policy-out=add-class(sub,(class-default),shape(500000000))",
                ]
            },
        ),
        (
            "juniper",
            {
                "Framed-Pool": ["aurora-harbour"],
                "ERX-Ingress-Policy-Name": ["up-100000k"],
                "ERX-CoS-Shaping-Pmt-Type": ["T02 500000k"],
            },
        ),
        (
            "mikrotik",
            {
                "Framed-Pool": ["aurora-harbour"],
                "Mikrotik-Rate-Limit": ["100000k/500000k"],
            },
        ),
        (
            "nokia",
            {
                "Framed-Pool": ["aurora-harbour"],
                "Alc-Subscriber-QoS-Override": [
                    "i:q:1:pir=100000",
                    "e:r:rate=500000",
                ],
            },
        ),
        (
            "huawei",
            {
                "Framed-Pool": ["aurora-harbour"],
                "Huawei-Input-Average-Rate": [100_000_000],
                "Huawei-Output-Average-Rate": [500_000_000],
            },
        ),
        (
            "redback",
            {
                "RB-IP-Address-Pool-Name": ["aurora-harbour"],
                "RB-Qos-Policy-Policing": ["up-100000k"],
                "RB-Qos-Policy-Queuing": ["down-500000k"],
            },
        ),
    ],
)
def test_a_vendor_is_told_rate_and_pool_in_its_own_attributes(
    profile: Profile, expected: dict[str, list[Any]]
) -> None:
    """The names and types are the dictionary's, the numbers the service's."""
    assert expected == read(grant_attributes(profile, GRANT))


def test_every_profile_of_the_network_file_has_a_row() -> None:
    """The table is total."""
    assert set(get_args(Profile)) == set(PROFILES)


def test_addresses_prefixes_and_times_are_the_same_for_all() -> None:
    """RFC 2865 sections 5.8, 5.9, 5.27; RFC 3162 section 2.3; RFC 4818 section 3."""
    grant = Grant(
        pool="not used",
        framed_ip_address="192.0.2.7",
        framed_ipv6_prefix="2001:db8:1::/64",
        delegated_ipv6_prefix="2001:db8:ff00::/40",
        session_timeout=86_400,
        interim_seconds=5,
    )
    found = read(grant_attributes("generic", grant))

    assert "Framed-Pool" not in found
    assert ["192.0.2.7"] == [str(a) for a in found["Framed-IP-Address"]]
    assert ["2001:db8:1::/64"] == [str(p) for p in found["Framed-IPv6-Prefix"]]
    assert ["2001:db8:ff00::/40"] == [str(p) for p in found["Delegated-IPv6-Prefix"]]
    assert [86_400] == found["Session-Timeout"]
    assert [60] == found["Acct-Interim-Interval"]


def test_a_rate_beyond_32_bits_is_the_most_there_is() -> None:
    """10 Gbit/s as a number of bit/s does not fit; it must not become a small one."""
    grant = Grant(rates=Rates(10_000_000, 10_000_000))
    found = read(grant_attributes("huawei", grant))

    assert [0xFFFFFFFF] == found["Huawei-Output-Average-Rate"]
