"""Metered use of BSPs: received record by record, rated together, nothing dropped.

A record that cannot be taken is kept with its reason; after a fix it is checked again.
The same event id that says the same is the same record, in JSON or in CSV; one that
says something else is a conflict, unless it mends what could never be taken as it was.
The BSP is who authenticated, never what was typed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice, repeat
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row

from config.network import Network
from config.offers import Offering, Service
from config.settlement import Meter
from rating.bsp_usage import (
    Guided,
    Rejected,
    UsageEvent,
    UsageState,
    aggregated,
    canonical,
    read_event,
)
from rating.entry import UnbalancedError
from rating.posting import Poster
from rating.purchase import LATE_SECONDS
from rating.rater import Rater, Unrated
from services.buyers import Buyers
from services.catalogue import Catalogue
from storage import balances as stored
from storage import bsp_usage as repository
from storage.database import Database
from storage.entries import lock_head, post, read_closed
from storage.purchases import lock_buyer

_SLICE: Final = 1000
"""Records received, or rated, in one transaction."""

_ITS_OWN: Final = frozenset({Rejected.USER, Rejected.QUANTITY, Rejected.TIMES})
"""What is wrong with a record itself: its BSP may mend it, no change of the network."""


class Outcome(StrEnum):
    """What became of one record."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to one record: ``state`` is what it is in now, as TMF635 has it."""

    event_id: str
    outcome: Outcome
    state: str
    reason: str | None = None


def receive(
    database: Database,
    catalogue: Catalogue,
    bsp: str,
    records: Iterable[object],
    now: int,
) -> Iterator[Receipt]:
    """Take records of a BSP, of JSON's types; give the receipt of each, in order.

    It takes what comes as it comes: a receipt is given when its record is committed.
    """
    stream = iter(records)
    while some := list(islice(stream, _SLICE)):
        with database.write.begin() as connection:
            lock_buyer(connection, bsp, None)
            receipts = _receive(connection, catalogue, bsp, some, now)
        yield from receipts


def recycle(
    database: Database, catalogue: Catalogue, now: int, bsp: str | None = None
) -> int:
    """Check the rejected records again, after a fix; give how many are taken now."""
    taken = after = 0
    while True:
        with database.write.begin() as connection:
            lock_head(connection)  # as who rates: what is rated by then stays so
            rows = repository.records_in(
                connection, UsageState.REJECTED, after, _SLICE, bsp
            )
            told = min((row.received_at for row in rows), default=now)
            buyers = Buyers(connection, catalogue, told - LATE_SECONDS)
            for row in rows:
                after = row.id
                record = msgspec.json.decode(row.body)
                values = _checked(catalogue, buyers, row.bsp, record, now)
                taken += values["state"] == UsageState.GUIDED
                repository.change_record(connection, row.id, updated_at=now, **values)
        if len(rows) < _SLICE:
            return taken


def rate_guided(
    database: Database, network: Network, now: int, slices: int | None = None
) -> int:
    """Rate and book what is guided; give how many records were rated.

    ``slices`` is how many transactions it may take, None as many as are needed; the
    rest waits.

    What no version of the tariff is for is rejected, with that reason; and so is a
    record that comes to more money than an entry holds, which stops no other.
    """
    count, size = 0, _SLICE
    for _ in range(slices) if slices is not None else repeat(None):
        try:
            with database.write.begin() as connection:
                rows, rated = _rate_some(connection, network, size, now)
        except (UnbalancedError, OverflowError):
            if size == 1:
                with database.write.begin() as connection:
                    rows = repository.records_in(connection, UsageState.GUIDED, 0, 1)
                    _reject(connection, rows, Rejected.QUANTITY, now)
            size = _SLICE if size == 1 else size // 2
            continue
        count += rated
        if len(rows) < size:
            break
    return count


def _rate_some(
    connection: Connection, network: Network, limit: int, now: int
) -> tuple[list[Row[Any]], int]:
    """Rate the next records; give them, and how many were rated."""
    meters = {meter.name: meter for meter in network.meter}
    # Who holds the head is alone with the balances of BSPs, too.
    head = lock_head(connection)
    rows = repository.records_in(connection, UsageState.GUIDED, 0, limit)
    # A service that went to another ISP has records of both.
    by_meter: dict[tuple[str, str, str], list[Row[Any]]] = {}
    for row in rows:
        by_meter.setdefault((row.bsp, row.meter, row.tenant), []).append(row)
    zones = {tariff.name: tariff.zone for tariff in network.tariff}
    poster = Poster(zones, read_closed(connection))
    count = 0
    for (bsp, name, tenant), some in by_meter.items():
        meter = meters.get(name)
        if meter is None or meter.bsp != bsp:
            _reject(connection, some, Rejected.UNKNOWN_METER, now)
            continue
        count += _rate(connection, network, meter, tenant, some, poster, now)
    post(connection, head, poster.take(), now)
    return rows, count


def _receive(
    connection: Connection,
    catalogue: Catalogue,
    bsp: str,
    records: list[object],
    now: int,
) -> list[Receipt]:
    bodies = [msgspec.json.encode(r, order="deterministic").decode() for r in records]
    ids = [_event_id(r, body) for r, body in zip(records, bodies, strict=True)]
    before = repository.known_bodies(connection, bsp, ids)
    known: dict[str, tuple[str, str, str | None]] = {
        row.event_id: (row.body, row.state, row.reason) for row in before.values()
    }
    buyers = Buyers(connection, catalogue, now - LATE_SECONDS)
    rows: dict[str, dict[str, Any]] = {}
    mended: dict[int, dict[str, Any]] = {}
    receipts = []
    for record, body, event_id in zip(records, bodies, ids, strict=True):
        if event_id in known:
            its_body, state, reason = known[event_id]
            same = its_body == body or (
                canonical(msgspec.json.decode(its_body)) == canonical(record)
            )
            if same or reason not in _ITS_OWN:
                outcome = Outcome.DUPLICATE if same else Outcome.CONFLICT
                receipts.append(Receipt(event_id, outcome, state, reason))
                continue
        values = _checked(catalogue, buyers, bsp, record, now)
        known[event_id] = body, values["state"], values["reason"]
        values |= {"body": body, "updated_at": now}
        if event_id in before:
            mended[before[event_id].id] = values
        else:
            rows[event_id] = values
        is_taken = values["state"] == UsageState.GUIDED
        outcome = Outcome.ACCEPTED if is_taken else Outcome.REJECTED
        receipts.append(Receipt(event_id, outcome, values["state"], values["reason"]))
    own = {"bsp": bsp, "aggregate_id": None, "received_at": now}
    added = [own | {"event_id": its_id} | row for its_id, row in rows.items()]
    repository.add_records(connection, added)
    if mended:
        lock_head(connection)  # who checks rejected records again has it
    for record_id, values in mended.items():
        repository.change_record(connection, record_id, **values)
    return receipts


def _event_id(record: object, body: str) -> str:
    """The BSP's own id; what has none that can be kept is told apart by its content."""
    given = record.get("event_id") if isinstance(record, dict) else None
    # PostgreSQL has no U+0000 in its texts.
    if isinstance(given, str) and 0 < len(given) <= 253 and "\0" not in given:
        return given
    return f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"


def _checked(
    catalogue: Catalogue, buyers: Buyers, bsp: str, record: object, now: int
) -> dict[str, Any]:
    """The columns of a record that follow from what it says and the network."""
    values: dict[str, Any] = dict.fromkeys(
        ("service", "meter", "quantity", "started_at", "ended_at", "reason")
    )
    values |= {"tenant": "network", "state": UsageState.REJECTED.value}
    event = read_event(record, now)
    if isinstance(event, Rejected):
        return values | {"reason": event.value}
    found = _guide(catalogue, buyers, bsp, event)
    if isinstance(found, Rejected):
        return values | {"reason": found.value}
    return values | {
        "tenant": found.isp,
        "state": UsageState.GUIDED.value,
        "service": found.name,
        "meter": event.meter,
        "quantity": event.quantity,
        "started_at": event.started_at,
        "ended_at": event.ended_at,
    }


def _guide(
    catalogue: Catalogue, buyers: Buyers, bsp: str, event: UsageEvent
) -> Service | Rejected:
    meter = catalogue.meters.get(event.meter)
    if meter is None or meter.bsp != bsp:
        return Rejected.UNKNOWN_METER
    service = buyers.service_of(event.user, event.started_at)
    if service is None:
        return Rejected.UNKNOWN_USER
    seller = catalogue.bsps[bsp]
    if seller.isps and service.isp not in seller.isps:
        return Rejected.NOT_SOLD_TO
    if not catalogue.is_subscribed(service, seller):
        return Rejected.NOT_SUBSCRIBED
    return service


def _rate(
    connection: Connection,
    network: Network,
    meter: Meter,
    tenant: str,
    rows: list[Row[Any]],
    poster: Poster,
    now: int,
) -> int:
    records = [
        Guided(r.id, r.tenant, r.service, r.meter, r.quantity, r.started_at, r.ended_at)
        for r in rows
    ]
    services = {record.service for record in records}
    rater = Rater(next_balance_id=stored.next_bsp_balance_id(connection))
    rater.know(_sold_by_meter(network, meter, tenant, services))
    wholes = aggregated(records, meter, rater.tariff(meter.tariff))
    keys = rater.missing([usage for usage, _ in wholes])
    rater.adopt(keys, stored.load_balances(connection, keys))
    rated: set[int] = set()
    for usage, ids in wholes:
        result = rater.rate(usage)
        if result is Unrated.TOO_MUCH:
            raise OverflowError(result)
        if isinstance(result, Unrated):
            continue
        poster.bsp_usage(tenant, meter.bsp, result.retail, usage.started_at)
        repository.mark_rated(connection, ids, ids[0], now)
        rated.update(ids)
    changes = rater.changes()
    stored.insert_balances(connection, stored.begun_rows(changes.begun))
    stored.update_balances(connection, stored.counted_rows(changes.counted))
    left = [row for row in rows if row.id not in rated]
    _reject(connection, left, Rejected.NO_VERSION, now)
    return len(rated)


def _sold_by_meter(
    network: Network, meter: Meter, tenant: str, services: Iterable[str]
) -> Network:
    """The network as the rater must see it to rate a BSP's meter: every subscriber of
    an ISP has an offering that costs what the meter's tariff says."""
    return Network(
        tariff=tuple(t for t in network.tariff if t.name == meter.tariff),
        tax=network.tax,
        offering=(
            Offering(
                name=meter.name, isp="", down_kbps=1, up_kbps=1, tariff=meter.tariff
            ),
        ),
        service=tuple(
            Service(name=name, isp=tenant, line="", offering=meter.name)
            for name in services
        ),
    )


def _reject(
    connection: Connection, rows: list[Row[Any]], reason: Rejected, now: int
) -> None:
    for row in rows:
        repository.change_record(
            connection,
            row.id,
            state=UsageState.REJECTED.value,
            reason=reason.value,
            updated_at=now,
        )
