"""Fixed amounts as they were charged: what of a period, by which version, until when.

A row is the key that keeps a fee from being charged twice. Everything works in the
caller's transaction, which posts what the row says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Row,
    Select,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from storage.among import among
from storage.rating_tables import periodic_charge
from storage.tables import session

_ROWS = periodic_charge.c


class PeriodicCharge(NamedTuple):
    """What was charged, in micro-units, of one element of a tariff in one period.

    ``service`` is "" for what an ISP is charged for all of its services together.
    ``first_day`` is the first that the service is billed for (None: it always was),
    ``last_day`` the first that it is not, once that is known. ``taken_back`` is what of
    the amount a person has reversed.
    """

    tenant: str
    service: str
    tariff: str
    period: str
    element: str
    version: str
    first_day: str | None
    last_day: str | None
    amount: int
    charged_at: int
    taken_back: int = 0

    @property
    def stands(self) -> int:
        """What of the amount is owed yet."""
        return self.amount - self.taken_back


def charges_of(
    connection: Connection, services: Sequence[str]
) -> dict[str, list[PeriodicCharge]]:
    """Give what was charged for services, by service, each in order of its periods."""
    found: dict[str, list[PeriodicCharge]] = {}
    query = select(periodic_charge).where(_ROWS.service.in_(services))
    for row in connection.execute(
        query.order_by(_ROWS.period, _ROWS.element, _ROWS.charged_at)
    ):
        found.setdefault(row.service, []).append(PeriodicCharge(*row))
    return found


def charges_of_isp(
    connection: Connection, tenant: str, tariff: str, period: str
) -> list[PeriodicCharge]:
    """Give what was charged by a tariff for a period of one tenant."""
    query = select(periodic_charge).where(
        _ROWS.tenant == tenant, _ROWS.tariff == tariff, _ROWS.period == period
    )
    return [PeriodicCharge(*row) for row in connection.execute(query)]


def charges_of_shape(
    connection: Connection, tenant: str, since: str
) -> list[PeriodicCharge]:
    """Give what an ISP was charged for all of its services together, of periods that
    begin on a day or later."""
    query = select(periodic_charge).where(
        _ROWS.tenant == tenant, _ROWS.service == "", _ROWS.period >= since
    )
    return [PeriodicCharge(*row) for row in connection.execute(query)]


def charge_behind(
    connection: Connection, key: tuple[str, str, str, str, str], day: str
) -> PeriodicCharge | None:
    """Give the charge of tenant, service, tariff, period and element that was made from
    a day on; None for what is charged another way.

    A service that ended and came back has two, each from its own first day on.
    """
    names = ("tenant", "service", "tariff", "period", "element")
    query = select(periodic_charge).where(
        *(_ROWS[name] == value for name, value in zip(names, key, strict=True)),
        or_(_ROWS.first_day.is_(None), _ROWS.first_day <= day),
    )
    found = [PeriodicCharge(*row) for row in connection.execute(query)]
    return max(
        found, key=lambda row: (row.first_day or "", row.charged_at), default=None
    )


def services_charged(connection: Connection, after: str, limit: int) -> list[str]:
    """Give the next services that something was charged for and has not ended."""
    query = select(_ROWS.service).where(_ROWS.service > after, _ROWS.last_day.is_(None))
    query = query.distinct().order_by(_ROWS.service).limit(limit)
    return list(connection.scalars(query))


def insert_charges(connection: Connection, rows: Sequence[PeriodicCharge]) -> None:
    """Add what is charged now."""
    if rows:
        connection.execute(insert(periodic_charge), [row._asdict() for row in rows])


def end_charges(connection: Connection, rows: Sequence[PeriodicCharge]) -> None:
    """Write the amounts and last day of charges that ended, or were taken back."""
    if not rows:
        return
    key = ("tenant", "service", "tariff", "period", "element", "charged_at")
    statement = update(periodic_charge).values(
        amount=bindparam("new_amount"),
        last_day=bindparam("new_last_day"),
        taken_back=bindparam("new_taken_back"),
    )
    for name in key:
        statement = statement.where(_ROWS[name] == bindparam(f"its_{name}"))
    connection.execute(
        statement,
        [
            {
                "new_amount": row.amount,
                "new_last_day": row.last_day,
                "new_taken_back": row.taken_back,
                **{f"its_{name}": getattr(row, name) for name in key},
            }
            for row in rows
        ],
    )


def sessions_between(
    connection: Connection, tenant: str, services: Sequence[str], start: int, end: int
) -> Iterator[Row[Any]]:
    """Give the sessions of a tenant, and of these services, that were open in a span,
    in order of id."""
    columns = session.c
    query: Select[Any] = (
        select(
            columns.id,
            columns.nas,
            columns.acct_session_id,
            columns.user_name,
            columns.service,
            columns.started_at,
            columns.last_seen_at,
        )
        .where(
            or_(columns.tenant == tenant, among(columns.service)),
            columns.started_at < end,
            columns.last_seen_at > start,
        )
        .order_by(columns.id)
    )
    # As the statement's option: as the connection's it would be every statement's.
    options = {"yield_per": 10_000}
    keys = {"keys": list(services)}
    yield from connection.execute(query, keys, execution_options=options)


def oldest_open(connection: Connection, at: int) -> int:
    """Say when the oldest of the sessions began that were open at a time."""
    columns = session.c
    query = select(func.min(columns.started_at)).where(
        columns.started_at < at, columns.last_seen_at > at
    )
    found: int | None = connection.scalar(query)
    return at if found is None else found
