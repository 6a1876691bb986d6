"""The ledger takes a batch of the address server's journal as it takes each record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.schema import Settings
from daemon.lease_ledger import LeaseLedger
from ipserver import records
from ipserver.record_columns import apart, whole
from storage.database import Database
from storage.journal import Block
from storage.lease_rows import lease_row, lease_rows

_TABLES = ("lease", "lease_history", "address_sale", "address_quarantine")

_addresses = st.integers(0, 5)
_moments = st.integers(0, 100)
_names = st.sampled_from(("", "a", "borealis", "ü/%2F"))
_octets = st.binary(max_size=3)


def _bound(
    at: int, span: int, address: int, names: list[str], octets: list[bytes]
) -> bytes:
    pool, isp, owner, borrower, line, service = names
    place = records.place(pool, isp, owner, borrower)
    head = (at, at + span, address, span, span % 4, place)
    return records.bound(*head, line, service, *octets)


_bindings = st.builds(
    _bound,
    *(_moments, _moments, _addresses),
    st.lists(_names, min_size=6, max_size=6),
    st.lists(_octets, min_size=3, max_size=3),
)
_others = (
    st.builds(
        lambda at, span, address: records.extended(at, at + span, address),
        *(_moments, _moments, _addresses),
    )
    | st.builds(records.ended, _moments, _addresses, st.sampled_from(records.ENDS))
    | st.builds(
        lambda at, span, address: records.declined(at, at + span, address, "line"),
        *(_moments, _moments, _addresses),
    )
    | st.builds(records.reusable, _moments, _addresses)
    | st.builds(
        lambda at, a: records.excess(
            records.Excess(at, a, 24000, 1, 2, 3, 0, "line", "service", "aurora")
        ),
        *(_moments, _addresses),
    )
)


@given(st.lists(_bindings))
def test_bindings_read_together_make_the_rows_of_each(journal: list[bytes]) -> None:
    """Whatever their parts are, and however long."""
    octets = b"".join(journal)
    alike, others = apart(octets)
    assert [] == others
    one_by_one = [
        lease_row(entry)
        for entry in records.entries(octets)
        if isinstance(entry, records.Bound)
    ]
    assert sorted(one_by_one, key=repr) == sorted(lease_rows(whole(alike)), key=repr)


def _possible(journal: list[bytes]) -> Iterator[bytes]:
    """Leave out extensions of what nobody has: a binding is made first, or anew."""
    bound: set[int] = set()
    for record in journal:
        (entry,) = records.entries(record)
        if isinstance(entry, records.Extended) and entry.address not in bound:
            continue
        if isinstance(entry, records.Bound):
            bound.add(entry.address)
        elif isinstance(entry, records.Ended | records.Declined):
            bound.discard(entry.address)
        yield record


def _tables(database: Database, batches: list[list[bytes]]) -> dict[str, list[Any]]:
    """What the tables have after batches, but for the numbers of their rows."""
    with database.write.begin() as connection:
        for table in (*_TABLES, "journal_position"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    ledger, position = LeaseLedger(database, Settings()), 1
    for batch in batches:
        block = Block(position, len(batch), 0, b"".join(batch))
        ledger.apply("ipserver", [block])
        position += len(batch)
    with database.read.connect() as connection:
        return {
            table: [
                tuple(row)[table != "lease" :]
                for row in connection.exec_driver_sql(
                    f"SELECT * FROM {table} ORDER BY 1"
                )
            ]
            for table in _TABLES
        }


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=20,  # each is some twenty commits
)
@given(st.lists(_bindings | _others, max_size=12), st.integers(2, 12))
def test_a_batch_gives_what_its_records_give(
    database: Database, journal: list[bytes], size: int
) -> None:
    """Any records in any order, wherever the journal is cut into batches."""
    journal = list(_possible(journal))
    batches = [journal[at : at + size] for at in range(0, len(journal), size)]
    one_by_one = _tables(database, [[record] for record in journal])
    assert one_by_one == _tables(database, batches)
