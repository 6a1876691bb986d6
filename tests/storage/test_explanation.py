"""An entry explained: its legs and charges, the usage, the packets of the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from radius_packets import packet
from settlement_network import NOVEMBER, ZONES, charge, network

from radius.records import Origin, encode_origin
from rating.posting import Poster
from services.explanation import explain
from storage.database import Database
from storage.entries import lock_head, post
from storage.journal import JournalWriter


def test_an_entry_is_explained_down_to_its_packets(
    database: Database, rows: Any, tmp_path: Path
) -> None:
    """The two reports that its usage lies between are found where they are in the
    journal, those of other sessions and times are not, and what is gone is said."""
    rows.add_sessions({"id": 1, "acct_session_id": "S-1", "nas": "bng1"})
    times = {"started_at": NOVEMBER, "ended_at": NOVEMBER + 600}
    rows.add_usage({"id": 7, "session_id": 1, "output_octets": 10**9, **times})
    with database.write.begin() as connection:
        poster = Poster(ZONES, {})
        own = charge(1234, usage_id=7)
        poster.usage("aurora", [own], [charge(321, tariff="wholesale", usage_id=7)])
        post(connection, lock_head(connection), poster.take(), NOVEMBER)
    writer = JournalWriter(tmp_path / "radius-0", file_bytes=1 << 20)
    sender = encode_origin(Origin(bytes(4), 1813, "bng1"))
    for seconds, session in ((0, "S-1"), (300, "S-2"), (600, "S-1"), (1200, "S-1")):
        at = NOVEMBER + seconds
        octets = packet(
            status=3, acct_session_id=session, event_at=at, session_seconds=seconds
        )
        received = (at + 1) * 1_000_000_000
        writer.append(sender + octets, records=1, received_at_ns=received)
    writer.close()
    with database.read.connect() as connection:
        found = explain(connection, network(), tmp_path, 1)
        absent = explain(connection, network(), tmp_path, 2)
    assert absent is None
    assert found is not None
    assert [
        ("subscriber", "aurora-101", -1234),
        ("isp", "aurora", 913),
        ("network", "network", 321),
    ] == [tuple(leg) for leg in found.legs]
    assert [("home@2026-01-01", 1234), ("wholesale@2026-01-01", 321)] == [
        (priced.tariff, priced.line.amount) for priced in found.charges
    ]
    assert found.usage is not None
    assert (7, 10**9) == (found.usage["id"], found.usage["output_octets"])
    assert [("radius-0", 1), ("radius-0", 3)] == [
        (p.journal, p.position) for p in found.packets
    ]
    assert [
        "the network has no volume in home@2026-01-01 any more",
        "the network has no volume in wholesale@2026-01-01 any more",
    ] == found.gone  # the journal is whole
