"""Addresses that nobody can have, or that two would, are found in the network file."""

from __future__ import annotations

from typing import Any

import pytest

from config.network_checks import find_conflicts

POOL: dict[str, Any] = {
    "name": "p",
    "area": "x",
    "isp": "aurora",
    "prefixes": ["10.0.0.0/28"],
    "reserved": ["10.0.0.8/31"],
}
OTHER = POOL | {
    "name": "q",
    "isp": "polar",
    "prefixes": ["10.1.0.0/28"],
    "reserved": [],
}
SERVICE = {"name": "s", "isp": "aurora", "framed_ip_address": "10.0.0.9"}


def found(**tables: object) -> list[tuple[object, str]]:
    """What is wrong with a document, each with its place."""
    parties = {"area": [{"name": "x"}], "isp": [{"name": "aurora"}, {"name": "polar"}]}
    findings = find_conflicts(parties | tables)
    return [(finding.path, finding.message) for finding in findings]


@pytest.mark.parametrize(
    ("prefix", "what"),
    [
        ("0.1.0.0/16", "0.0.0.0/8, this network"),
        ("127.0.0.0/28", "127.0.0.0/8, loopback"),
        ("169.254.7.0/24", "169.254.0.0/16, link-local"),
        ("224.0.0.0/20", "224.0.0.0/4, multicast"),
        ("240.0.0.0/24", "240.0.0.0/4, kept for the future, and broadcast"),
        ("126.0.0.0/7", "127.0.0.0/8, loopback"),
    ],
)
@pytest.mark.parametrize("kind", ["pool", "reserve"])
def test_no_device_can_have_some_addresses(kind: str, prefix: str, what: str) -> None:
    """RFC 6890, section 2.2.2, and RFC 5771: wholly or in part."""
    row = {"name": "r", "area": "x", "prefixes": [prefix]}
    message = f"no device can have an address of {what}"
    assert [((kind, 0, "prefixes", 0), message)] == found(**{kind: [row]})


def test_what_a_pool_keeps_is_its_own() -> None:
    """A typing mistake in ``reserved`` would leave the address to be leased."""
    row = POOL | {"reserved": ["10.0.0.8/31", "10.0.1.8/31"]}
    message = "10.0.1.8/31 is in none of the pool's prefixes"
    assert [(("pool", 0, "reserved", 1), message)] == found(pool=[row])


def test_a_pool_cannot_lend_more_than_it_has() -> None:
    """Sixteen of sixteen at the most."""
    assert [] == found(pool=[POOL | {"lending": 16}])
    message = "17 is more than the pool's 16 addresses"
    place = ("pool", 0, "lending")
    assert [(place, message)] == found(pool=[POOL | {"lending": 17}])


def test_a_walled_garden_is_no_isps() -> None:
    """The ISP would wait for addresses that its subscribers never get."""
    message = "a walled garden is for lines that have no service: it has no isp"
    row = POOL | {"walled_garden": True}
    assert [(("pool", 0, "isp"), message)] == found(pool=[row])


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("10.0.0.9", ""),
        ("10.9.0.9", ""),
        ("10.0.0.7", "of pool 'p', which leases it too: name it in `reserved` there"),
        ("10.1.0.7", "of pool 'q', which is not of 'aurora'"),
        ("10.2.0.1", "of reserve 'r', which is not of 'aurora'"),
    ],
)
def test_a_framed_address_is_the_services_alone(address: str, message: str) -> None:
    """Of a pool of its ISP that does not lease it, or of no pool."""
    reserve = {"name": "r", "area": "x", "prefixes": ["10.2.0.0/29"]}
    service = SERVICE | {"framed_ip_address": address}
    place = ("service", 0, "framed_ip_address")
    expected = [(place, f"{address} is {message}")] if message else []
    assert expected == found(pool=[POOL, OTHER], reserve=[reserve], service=[service])


def test_a_framed_address_is_of_one_service() -> None:
    """Two subscribers with one address would each get half of the packets."""
    message = "10.0.0.9 is the address of service 's' already"
    services = [SERVICE, SERVICE | {"name": "t"}]
    place = ("service", 1, "framed_ip_address")
    assert [(place, message)] == found(pool=[POOL], service=services)


@pytest.mark.parametrize("wrong", [7, "", "somewhere", "10.0.0.7/32/32", None, ["a"]])
def test_what_is_not_of_its_type_is_told_elsewhere(wrong: object) -> None:
    """Nothing is raised, and nothing is said twice."""
    row = {"name": "p", "prefixes": [wrong], "reserved": wrong, "lending": wrong}
    tables = {"pool": [row, wrong], "reserve": wrong, "service": [wrong]}
    assert [] == found(**tables)
    assert [] == found(service=[SERVICE | {"framed_ip_address": wrong}])
