"""Qualifications as rows; what was answered is kept as it was told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, select, text, update

from storage import at_once
from storage.among import among
from storage.at_once import Change, Rows
from storage.looked_up import LookedUp
from storage.provisioning_tables import open_qualifications, qualification


class Open(NamedTuple):
    """A green answer that is still good."""

    id: str
    tenant: str
    place: str


# Written out: with a bound value SQLite would not use the partial index.
_IS_OPEN: Final = text("qualification.state = 'open'")
OPEN: Final = Rows(
    select(qualification.c.id, qualification.c.tenant, qualification.c.place).where(
        _IS_OPEN, among(qualification.c.place)
    )
)
# How many green answers that are good each tenant has.
COUNTS: Final = Rows(
    select(open_qualifications.c.tenant, open_qualifications.c.quantity).where(
        among(open_qualifications.c.tenant)
    )
)
_CLOSING: Final = (
    select(qualification.c.tenant, func.count())
    .where(_IS_OPEN, among(qualification.c.id))
    .group_by(qualification.c.tenant)
)
_CLOSE: Final = Change(
    update(qualification)
    .where(among(qualification.c.id))
    .values(state=bindparam("how"))
)


class OpenAnswers(LookedUp[str, list[Open]]):
    """The green answers that are good for each place."""

    def read(self, keys: list[str]) -> Mapping[str, list[Open]]:
        """Read from the database."""
        found: defaultdict[str, list[Open]] = defaultdict(list)
        for row in OPEN.read(self.connection, {"keys": keys}):
            one = Open(*row)
            found[one.place].append(one)
        return found


def close(connection: Connection, ids: Iterable[str], state: str) -> None:
    """End green answers: expired, superseded, invalidated or ordered."""
    keys = sorted(set(ids))
    if keys:
        closing = connection.execute(_CLOSING, {"keys": keys}).all()
        fewer = {tenant: -count for tenant, count in closing}
        at_once.add_up(connection, open_qualifications, fewer)
        _CLOSE.make(connection, {"keys": keys, "how": state})


def supersede(connection: Connection, answers: Sequence[Open]) -> None:
    """End green answers that are known to be open, each by a newer one."""
    if answers:
        fewer = Counter(one.tenant for one in answers)
        fewer = Counter({tenant: -count for tenant, count in fewer.items()})
        at_once.add_up(connection, open_qualifications, fewer)
        keys = sorted(one.id for one in answers)
        _CLOSE.make(connection, {"keys": keys, "how": "superseded"})


def expired(connection: Connection, now: int, limit: int) -> list[str]:
    """Give the ids of green answers whose time is over."""
    table = qualification.c
    query = select(table.id).where(_IS_OPEN, table.expires_at <= now)
    return list(connection.scalars(query.order_by(table.expires_at).limit(limit)))


def add(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write qualifications."""
    at_once.insert(connection, qualification, rows)
    good = Counter(row["tenant"] for row in rows if row["state"] == "open")
    at_once.add_up(connection, open_qualifications, good)


def find(connection: Connection, id_: str, tenant: str | None) -> Any:
    """Give one row, of this tenant or (None) of any; None when there is none."""
    query = select(qualification).where(qualification.c.id == id_)
    if tenant is not None:
        query = query.where(qualification.c.tenant == tenant)
    return connection.execute(query).first()
