"""Desired states of lines as they were taken up, and how far news has been read."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from storage.control_plane_tables import desired_state, outbox_reader


class TakenUp(NamedTuple):
    """The last version that was taken up, and the order that it became, if any."""

    version: int
    order_id: str | None


def find(connection: Connection, tenant: str, line: str) -> TakenUp | None:
    """Give what was taken up last for a line of a tenant."""
    table = desired_state.c
    row = connection.execute(
        select(table.version, table.order_id).where(
            table.tenant == tenant, table.line == line
        )
    ).first()
    return None if row is None else TakenUp(*row)


def put(
    connection: Connection, tenant: str, line: str, taken: TakenUp, now: int
) -> None:
    """Keep what was taken up for a line of a tenant."""
    table = desired_state.c
    connection.execute(
        delete(desired_state).where(table.tenant == tenant, table.line == line)
    )
    connection.execute(
        insert(desired_state).values(
            tenant=tenant, line=line, at=now, **taken._asdict()
        )
    )


def cursor(connection: Connection, reader: str) -> int | None:
    """Give the number of the last event that a reader has passed on."""
    query = select(outbox_reader.c.cursor).where(outbox_reader.c.name == reader)
    return connection.execute(query).scalar()


def move_cursor(connection: Connection, reader: str, number: int) -> None:
    """Keep how far a reader is."""
    connection.execute(delete(outbox_reader).where(outbox_reader.c.name == reader))
    connection.execute(insert(outbox_reader).values(name=reader, cursor=number))
