"""Packets in a block: what the receiver joins, the ledger takes apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from radius_packets import packet

from radius.records import Origin, RecordReader, encode_origin

origins = st.builds(
    Origin,
    st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16),
    st.integers(0, 65535),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
)


@given(st.lists(origins, max_size=20))
def test_every_packet_comes_out_as_it_went_in(sources: list[Origin]) -> None:
    """IPv4 and IPv6 senders, names in any script, in the order of the block."""
    put = [
        (origin, packet(i % 256, acct_session_id=str(i)))
        for i, origin in enumerate(sources)
    ]
    octets = b"".join(encode_origin(origin) + request for origin, request in put)

    assert put == RecordReader().read(octets)
