"""Qualifications and leads as rows; what was answered is kept as it was told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, text, update

from storage.looked_up import LookedUp
from storage.provisioning_tables import lead, qualification


class Open(NamedTuple):
    """A green answer that is still good."""

    id: str
    tenant: str
    place: str


# Written out: with a bound value SQLite would not use the partial index.
_IS_OPEN: Final = text("qualification.state = 'open'")
_OPEN: Final = select(
    qualification.c.id, qualification.c.tenant, qualification.c.place
).where(
    _IS_OPEN,
    qualification.c.place.in_(bindparam("places", expanding=True)),
)
_COUNT: Final = (
    select(qualification.c.tenant, func.count())
    .where(_IS_OPEN, qualification.c.tenant.in_(bindparam("tenants", expanding=True)))
    .group_by(qualification.c.tenant)
)
_CLOSE: Final = (
    update(qualification)
    .where(qualification.c.id == bindparam("which"))
    .values(state=bindparam("how"))
)


class OpenAnswers(LookedUp[str, list[Open]]):
    """The green answers that are good for each place."""

    def read(self, keys: list[str]) -> Mapping[str, list[Open]]:
        """Read from the database."""
        found: defaultdict[str, list[Open]] = defaultdict(list)
        for row in self.connection.execute(_OPEN, {"places": keys}):
            found[row.place].append(Open(*row))
        return found


def count_open(connection: Connection, tenants: Iterable[str]) -> Counter[str]:
    """Count the green answers that are good of each tenant."""
    rows = connection.execute(_COUNT, {"tenants": sorted(set(tenants))})
    found: Counter[str] = Counter()
    for tenant, count in rows:
        found[tenant] = count
    return found


def close(connection: Connection, ids: Iterable[str], state: str) -> None:
    """End green answers: expired, superseded, invalidated or ordered."""
    rows = [{"which": one, "how": state} for one in ids]
    if rows:
        connection.execute(_CLOSE, rows)


def expired(connection: Connection, now: int, limit: int) -> list[str]:
    """Give the ids of green answers whose time is over."""
    table = qualification.c
    query = select(table.id).where(_IS_OPEN, table.expires_at <= now)
    return list(connection.scalars(query.order_by(table.expires_at).limit(limit)))


def add(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write qualifications."""
    if rows:
        connection.execute(insert(qualification), rows)


def find(connection: Connection, id_: str, tenant: str | None) -> Any:
    """Give one row, of this tenant or (None) of any; None when there is none."""
    query = select(qualification).where(qualification.c.id == id_)
    if tenant is not None:
        query = query.where(qualification.c.tenant == tenant)
    return connection.execute(query).first()


def add_lead(connection: Connection, row: Mapping[str, Any]) -> None:
    """Write one lead."""
    connection.execute(insert(lead), row)


def leads(
    connection: Connection, tenant: str | None, state: str, limit: int
) -> list[Any]:
    """List leads, the oldest first."""
    query = select(lead).where(lead.c.state == state)
    if tenant is not None:
        query = query.where(lead.c.tenant == tenant)
    return list(connection.execute(query.order_by(lead.c.at, lead.c.id).limit(limit)))


def move_lead(connection: Connection, id_: str, tenant: str | None, state: str) -> bool:
    """Give a lead another state; False when there is none of the tenant's."""
    query = update(lead).where(lead.c.id == id_).values(state=state)
    if tenant is not None:
        query = query.where(lead.c.tenant == tenant)
    return connection.execute(query).rowcount == 1
