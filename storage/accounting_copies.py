"""How far each ISP has its copies: a position in every journal."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from storage.access_tables import accounting_copy


def read_copy_positions(connection: Connection, isp: str) -> dict[str, int]:
    """Give the next position to look at, by journal."""
    columns = accounting_copy.c
    query = select(columns.journal, columns.position).where(columns.isp == isp)
    return {row.journal: row.position for row in connection.execute(query)}


def write_copy_position(
    connection: Connection, isp: str, journal: str, position: int
) -> None:
    """Write the next position to look at."""
    columns = accounting_copy.c
    own = (columns.isp == isp, columns.journal == journal)
    connection.execute(delete(accounting_copy).where(*own))
    connection.execute(
        insert(accounting_copy).values(isp=isp, journal=journal, position=position)
    )
