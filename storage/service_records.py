"""What orders made of services, and the signs by which the network shows that they
work."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from provisioning.proof import Sign
from storage.provisioning_tables import service_record
from storage.tables import session

_SIGNS: Final = 20
_SESSIONS_AT_ONCE: Final = 5000
_PUT: Final = insert(service_record)
_FIND: Final = select(service_record).where(service_record.c.name == bindparam("which"))
_DELETE: Final = delete(service_record).where(
    service_record.c.name == bindparam("which")
)
_MOVE: Final = (
    update(service_record)
    .where(service_record.c.name == bindparam("which"))
    .values(state=bindparam("new_state"), changed_at=bindparam("at"))
)
_USERS: Final = (
    select(session.c.framed_ip_address, session.c.last_arrival_at)
    .where(
        session.c.user_name.in_(bindparam("users", expanding=True)),
        session.c.state != "closed",
    )
    .order_by(session.c.id.desc())
    .limit(_SIGNS)
)


def find(connection: Connection, name: str) -> dict[str, Any] | None:
    """Give the record of a service; None where no order made one."""
    row = connection.execute(_FIND, {"which": name}).first()
    return None if row is None else dict(row._mapping)


def put(connection: Connection, row: dict[str, Any], *, is_new: bool = False) -> None:
    """Write a record in place of the one there was, if any was."""
    if not is_new:
        connection.execute(_DELETE, {"which": row["name"]})
    connection.execute(_PUT, row)


def remove(connection: Connection, name: str) -> None:
    """Forget a service that never came to be."""
    connection.execute(_DELETE, {"which": name})


def move(connection: Connection, name: str, state: str, now: int) -> None:
    """Give a record another state (TMF638)."""
    row = {"which": name, "new_state": state, "at": now}
    connection.execute(_MOVE, row)


def signs_of_users(connection: Connection, users: tuple[str, ...]) -> list[Sign]:
    """Give the live sessions of user names, the newest first."""
    if not users:
        return []
    rows = connection.execute(_USERS, {"users": list(users)})
    return [Sign(*row) for row in rows]


def new_sessions(connection: Connection, after: int) -> tuple[int, list[str]]:
    """Give the highest session id that was looked at, and the users of those after."""
    query = select(session.c.id, session.c.user_name).where(session.c.id > after)
    rows = connection.execute(
        query.order_by(session.c.id).limit(_SESSIONS_AT_ONCE)
    ).all()
    users = [row.user_name for row in rows if row.user_name]
    return (rows[-1].id if rows else after), users


def latest_session(connection: Connection) -> int:
    """Give the highest session id there is; 0 for none."""
    return connection.scalar(select(func.max(session.c.id))) or 0
