"""What orders made of services, and the signs by which the network shows that they
work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    func,
    select,
    text,
)

from provisioning.proof import Sign
from storage import at_once
from storage.among import among
from storage.looked_up import LookedUp
from storage.provisioning_tables import service_record
from storage.tables import session

_SIGNS: Final = 20
_SESSIONS_AT_ONCE: Final = 5000
_FIND: Final = select(service_record).where(among(service_record.c.name))
_DELETE: Final = delete(service_record).where(among(service_record.c.name))
_USERS: Final = (
    select(session.c.user_name, session.c.framed_ip_address, session.c.last_arrival_at)
    .where(
        among(session.c.user_name, "users"),
        session.c.state != "closed",
    )
    .order_by(session.c.id.desc())
    .limit(bindparam("most"))
)

_ENDED: Final = (
    select(session.c.framed_ip_address, session.c.last_arrival_at)
    .where(
        among(session.c.user_name, "users"),
        session.c.state == "closed",
        session.c.started_at >= bindparam("since"),
    )
    .limit(_SIGNS)
)


class ServiceRecords(LookedUp[str, dict[str, Any]]):
    """The record of each service that an order made, by name."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stored: set[str] = set()
        self._changed: set[str] = set()

    def read(self, keys: list[str]) -> Mapping[str, dict[str, Any]]:
        """Read from the database."""
        rows = self.connection.execute(_FIND, {"keys": keys}).mappings()
        found = {row["name"]: dict(row) for row in rows}
        self._stored |= found.keys()
        return found

    def put(self, row: dict[str, Any]) -> None:
        """Have a record in place of the one there was, if any was."""
        self._set(row["name"], row)

    def remove(self, name: str) -> None:
        """Forget a service that never came to be."""
        self._set(name, None)

    def move(self, name: str, state: str, now: int) -> None:
        """Give a record, where there is one, another state (TMF638)."""
        row = self.find(name)
        if row is not None:
            self._set(name, {**row, "state": state, "changed_at": now})

    def _set(self, name: str, row: dict[str, Any] | None) -> None:
        self.look_ahead([name])
        self.known[name] = row
        self._changed.add(name)

    def flush(self) -> None:
        """Write what changed, many in one statement."""
        names, self._changed = sorted(self._changed), set()
        rows = {name: row for name in names if (row := self.known[name]) is not None}
        gone = [name for name in names if name not in rows and name in self._stored]
        changed = [row for name, row in rows.items() if name in self._stored]
        made = [row for name, row in rows.items() if name not in self._stored]
        if gone:
            self.connection.execute(_DELETE, {"keys": gone})
        at_once.update(self.connection, service_record, changed)
        at_once.insert(self.connection, service_record, made)
        self._stored = (self._stored - set(gone)) | rows.keys()


class LiveSessions(LookedUp[str, list[Sign]]):
    """The live sessions of each user name, the newest first."""

    def read(self, keys: list[str]) -> Mapping[str, list[Sign]]:
        """Read from the database; some of one user's are as good as all."""
        found: defaultdict[str, list[Sign]] = defaultdict(list)
        most = _SIGNS * len(keys)
        rows = self.connection.execute(_USERS, {"users": keys, "most": most}).all()
        if len(rows) == most and len(keys) > 1:  # one may have left others none
            for key in keys:
                found[key] = list(self.read([key]).get(key, ()))
            return found
        for user, address, seen_at in rows:
            found[user].append(Sign(address, seen_at))
        return found

    def signs_of(self, users: Iterable[str]) -> list[Sign]:
        """Give the live sessions of a service's user names."""
        return [sign for user in users for sign in self.find(user) or ()]


def ended_sessions(
    connection: Connection, users: Iterable[str], since: int
) -> list[Sign]:
    """Give sessions of user names that began ``since`` and are over already: they came
    and went between two looks, and were there all the same."""
    given = {"users": list(users), "since": since}
    return [Sign(*row) for row in connection.execute(_ENDED, given)]


def begun_sessions(
    connection: Connection, users: Iterable[str], since: int
) -> list[tuple[Sign, set[str]]]:
    """Give the sessions of user names that began ``since``, each with the circuits that
    its NAS named."""
    columns = session.c
    query = select(
        columns.framed_ip_address,
        columns.last_arrival_at,
        columns.agent_circuit_id,
        columns.nas_port_id,
    ).where(columns.user_name.in_(list(users)), columns.started_at >= since)
    return [
        (Sign(*row[:2]), {one for one in row[2:] if one})
        for row in connection.execute(query.limit(_SIGNS))
    ]


def unnamed_sessions(connection: Connection, service: str) -> list[Sign]:
    """Give the live sessions without User-Name whose use was guided to a service."""
    query = select(session.c.framed_ip_address, session.c.last_arrival_at).where(
        session.c.service == service,
        text("state <> 'closed' AND user_name IS NULL"),
    )
    return [Sign(*row) for row in connection.execute(query.limit(_SIGNS))]


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
