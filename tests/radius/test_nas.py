"""Finding the NAS of a packet by its source address."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.plant import Nas
from radius import nas as nas_module
from radius.nas import NasTable


def entry(name: str, address: str, **fields: object) -> Nas:
    """A NAS with a secret named after it."""
    return Nas(name=name, address=address, secret=f"secret of {name}", **fields)  # type: ignore[arg-type]


def test_the_longest_prefix_wins_whatever_the_order() -> None:
    """One NAS can be taken out of a range that another entry covers."""
    entries = [
        entry("all", "10.0.0.0/8"),
        entry("one", "10.1.1.1/32"),
        entry("some", "10.1.0.0/16"),
    ]
    for table in (NasTable.build(entries), NasTable.build(entries[::-1])):
        found = [table.find(a) for a in ("10.9.9.9", "10.1.1.1", "10.1.1.2")]
        assert [c.name for c in found if c] == ["all", "one", "some"]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.7", "four"),
        ("::ffff:192.0.2.7", "four"),
        ("::ffff:c000:207", "four"),
        ("2001:db8::7", "six"),
        ("2001:0DB8:0:0::7", "six"),
        ("fe80::1%eth0", "link"),
        ("198.51.100.1", "mapped"),
        ("192.0.3.1", None),
        ("::c000:207", None),
        ("bng1.example", None),
        ("", None),
    ],
)
def test_addresses_of_both_families_and_mapped_ones_are_found(
    address: str, name: str | None
) -> None:
    """A dual-stack socket's ::ffff:a.b.c.d is the IPv4 address (RFC 4291 s2.5.5.2)."""
    table = NasTable.build(
        [
            entry("four", "192.0.2.0/24"),
            entry("six", "2001:db8::/32"),
            entry("link", "fe80::/10"),
            entry("mapped", "::ffff:198.51.100.0/120"),
        ]
    )
    found = table.find(address)
    assert (found.name if found else None) == name


def test_a_client_carries_what_the_packet_path_needs() -> None:
    """Secrets are octets, newest first, and index is the place in the table."""
    table = NasTable.build(
        [
            entry("a", "10.0.0.1"),
            Nas(
                name="b",
                address="10.0.0.2",
                secrets=("néw", "old"),
                gigawords="never",
                max_rate_mbps=100,
            ),
        ]
    )
    client = table.find("10.0.0.2")
    assert client is table.clients[1]
    assert client.index == 1
    assert client.secrets == ("néw".encode(), b"old")
    assert (client.gigawords, client.max_rate_mbps) == ("never", 100)
    assert "old" not in repr(client)


@pytest.mark.parametrize(
    "nas",
    [
        Nas(name="n", address="10.0.0.1"),
        Nas(name="n", address="10.0.0.1", secret=""),
        Nas(name="n", address="10.0.0.1", secrets=("new", "")),
    ],
)
def test_a_nas_without_a_secret_is_refused(nas: Nas) -> None:
    """RFC 2865 section 3: with an empty secret anyone could sign."""
    with pytest.raises(ValueError, match="secret"):
        NasTable.build([nas])


def test_an_empty_table_knows_nobody() -> None:
    """A network without NAS discards every packet (RFC 2865 section 3)."""
    assert NasTable.build([]).find("127.0.0.1") is None


def test_more_addresses_than_are_remembered_are_still_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The memory is bounded for known and unknown sources, answers are not."""
    monkeypatch.setattr(nas_module, "MEMO_ADDRESSES", 16)
    table = NasTable.build([entry("n", "10.0.0.0/24")])
    for _ in range(2):
        for last in range(100):
            assert table.find(f"10.0.0.{last}") is table.clients[0]
            assert table.find(f"10.0.1.{last}") is None
            assert len(table._known) <= 16
            assert len(table._unknown) <= 16


def test_a_flood_of_strangers_does_not_push_out_a_known_source() -> None:
    """Forged sources cost memory of their own, which is bounded."""
    table = NasTable.build([entry("n", "10.0.0.1")])
    table.find("10.0.0.1")
    for number in range(nas_module.MEMO_ADDRESSES + 10):
        table.find(f"stranger {number}")
    assert "10.0.0.1" in table._known
    assert len(table._unknown) <= nas_module.MEMO_ADDRESSES


PREFIXES = st.one_of(
    st.builds(
        lambda number, length: ipaddress.ip_network((number, length), strict=False),
        st.integers(0, 255).map(lambda n: n << 24 | n),
        st.integers(0, 32),
    ),
    st.builds(
        lambda number, length: ipaddress.ip_network((number, length), strict=False),
        st.integers(0, 255).map(lambda n: (0x2001 << 112) + (n << 64) + n),
        st.integers(8, 128),
    ),
)
ADDRESSES = st.one_of(
    st.integers(0, 255).map(lambda n: ipaddress.IPv4Address(n << 24 | n)),
    st.integers(0, 255).map(
        lambda n: ipaddress.IPv6Address((0x2001 << 112) + (n << 64) + n)
    ),
)


@given(st.lists(PREFIXES, unique=True, max_size=8), st.lists(ADDRESSES, max_size=8))
def test_the_table_agrees_with_looking_at_every_prefix(
    prefixes: list[ipaddress.IPv4Network | ipaddress.IPv6Network],
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address],
) -> None:
    """For any prefixes the NAS is the one whose longest prefix has the address."""
    table = NasTable.build(entry(str(p), str(p)) for p in prefixes)
    for address in addresses:
        covering = [p for p in prefixes if address in p]
        best = max(covering, key=lambda p: p.prefixlen, default=None)
        for _ in range(2):
            found = table.find(str(address))
            assert (found.name if found else None) == (str(best) if best else None)
