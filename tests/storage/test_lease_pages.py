"""What a start reads in packed columns is what the rows have, on both databases."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import leases
from storage.database import Database
from storage.lease_pages import bindings_to_restore
from storage.lease_rows import columns_of

Row = tuple[Any, ...]
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_octets = st.binary(max_size=4)
_moments = st.integers(0, 2**40)
_rows = st.lists(
    st.builds(
        lambda address, kind, line, octets, times, ended: _row(
            *(address, kind, line, *octets, *times, *(ended or (None, None)))
        ),
        *(st.integers(0, 2**32 - 1), st.integers(0, 3), _texts),
        *(st.tuples(_octets, _octets, _octets), st.tuples(_moments, _moments)),
        st.none() | st.tuples(_moments, st.sampled_from(("released", "moved"))),
    ),
    max_size=8,
    unique_by=lambda row: row[0],
)


def _row(
    address: int,
    kind: int,
    line: str,
    hardware: bytes,
    client: bytes,
    agent: bytes,
    extended: int,
    expires: int,
    ended: int | None,
    reason: str | None,
) -> Row:
    return (
        *(address, "pool", line, None, None, "isp", None, 0, kind, hardware, client),
        *(agent, extended, extended, expires, ended, reason, "network"),
    )


def _same(database: Database) -> int:
    """Read the table both ways; give how many leases it has."""
    with database.read.connect() as connection:
        by_rows = [columns_of(rows) for rows in leases.leases_to_restore(connection)]
        packed = list(bindings_to_restore(connection))
    assert len(by_rows) == len(packed)
    for (some, ends), (others, other_ends) in zip(by_rows, packed, strict=True):
        assert list(map(list, some)) == list(map(list, others))
        assert ends == other_ends
    return sum(len(bound.addresses) for bound, _ in packed)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=_rows)
def test_packed_columns_have_what_rows_have(
    database: Database, rows: list[Row]
) -> None:
    """Texts of any characters, octets of any lengths, ended or not, and none at all."""
    with database.write.begin() as connection:
        connection.exec_driver_sql("DELETE FROM lease")
        leases.replace_leases(connection, rows)
    assert len(rows) == _same(database)


def test_every_page_is_read_once(database: Database) -> None:
    """The last one is not full, and an ended lease is in the second."""
    with database.write.begin() as connection:
        leases.replace_leases(
            connection,
            [
                _row(
                    *(7 * n, n % 4, f"line-{n}", b"\1%d" % n, b"", b"a", n, n + 60),
                    *((n, "moved") if n == 15_000 else (None, None)),
                )
                for n in range(20_003)
            ],
        )
    assert _same(database) == 20_003


def test_a_start_that_ends_early_leaves_the_connection_to_others(
    database: Database,
) -> None:
    """The page that is read ahead is waited for."""
    with database.write.begin() as connection:
        rows = [
            _row(n, 0, "line", b"", b"", b"", 0, 1, None, None) for n in range(20_003)
        ]
        leases.replace_leases(connection, rows)
    with database.read.connect() as connection:
        pages = bindings_to_restore(connection)
        next(pages)
        pages.close()
        count = connection.exec_driver_sql("SELECT count(*) FROM lease").scalar()
    assert count == 20_003
