"""What is counted of the ledger, for metrics; everything reads and streams nothing."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from storage.settlement_tables import block, book, closing, ledger_head, statement


def last_entry(connection: Connection) -> int:
    """The number of the newest entry; 0 before the first."""
    found: int = connection.execute(select(ledger_head.c.entry_id)).scalar_one()
    return found


def entries_by_kind(connection: Connection, behind: int) -> dict[str, int]:
    """Count the entries behind a number by kind, from their blocks."""
    many = func.sum(block.c.last_entry_id - block.c.first_entry_id + 1)
    query = (
        select(book.c.kind, many)
        .select_from(block.join(book, book.c.id == block.c.book_id))
        .where(block.c.first_entry_id > behind)
        .group_by(book.c.kind)
    )
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def statements_by_state(connection: Connection) -> dict[str, int]:
    """Count statements by state."""
    query = select(statement.c.state, func.count()).group_by(statement.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def last_closed_at(connection: Connection) -> int:
    """When a month was closed last, in epoch seconds; 0 before the first."""
    return connection.execute(select(func.max(closing.c.closed_at))).scalar() or 0
