"""A record of metered use as a BSP sends it: what it must say, and what it comes to.

Checked as a whole, so that the reason names the first thing that is wrong; a record
that is rejected is kept as it came and checked again after a fix. Records of one
subscriber and meter that lie in one span of the tariff are rated as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from msgspec import json

from config.quantities import quantity_of
from config.settlement import Meter
from rating.charge import RatableUsage
from rating.counters import Derived
from rating.tariff import CompiledTariff

MAX_QUANTITY: Final = 10**12
MAX_SECONDS: Final = 31 * 86_400
"""No single record is for longer than a month."""

_AHEAD_SECONDS: Final = 300
"""A BSP's clock may run ahead by this much."""


class UsageState(StrEnum):
    """TMF635's states of a usage record that we use."""

    GUIDED = "guided"
    RATED = "rated"
    REJECTED = "rejected"


class Rejected(StrEnum):
    """Why a record is not taken; a stable code."""

    NOT_A_RECORD = "not_a_record"
    EVENT_ID = "event_id_missing"
    USER = "user_missing"
    QUANTITY = "quantity_invalid"
    TIMES = "times_invalid"
    IN_THE_FUTURE = "in_the_future"
    UNKNOWN_METER = "unknown_meter"
    UNKNOWN_USER = "unknown_user"
    NOT_SOLD_TO = "isp_not_sold_to"
    NOT_SUBSCRIBED = "user_not_subscribed"
    NO_VERSION = "no_tariff_version_in_force"


class UsageEvent(NamedTuple):
    """A record that can be guided; times in seconds since 1970."""

    event_id: str
    user: str
    meter: str
    quantity: int
    started_at: int
    ended_at: int


class Guided(NamedTuple):
    """A record of a service, and its number in the table ``bsp_usage``."""

    id: int
    tenant: str
    service: str
    meter: str
    quantity: int
    started_at: int
    ended_at: int


def read_event(record: object, now: int) -> UsageEvent | Rejected:
    """Read a record of JSON's types, or of CSV's text.

    ``start`` and ``end`` are RFC 3339 or seconds since 1970; without an ``end`` it took
    no time: it is of the second that it names.
    """
    if not isinstance(record, Mapping):
        return Rejected.NOT_A_RECORD
    event_id, user = record.get("event_id"), record.get("user")
    if not _is_name(event_id):
        return Rejected.EVENT_ID
    if not _is_name(user):
        return Rejected.USER
    quantity = _whole(record.get("quantity"))
    if quantity is None or not 0 < quantity <= MAX_QUANTITY:
        return Rejected.QUANTITY
    start = _time(record.get("start"))
    end = _time(record.get("end")) if record.get("end") not in (None, "") else start
    if start is None or end is None or not 0 <= end - start <= MAX_SECONDS:
        return Rejected.TIMES
    if end > now + _AHEAD_SECONDS:
        return Rejected.IN_THE_FUTURE
    meter = record.get("meter")
    if not isinstance(meter, str):
        return Rejected.UNKNOWN_METER
    return UsageEvent(str(event_id), str(user), meter, quantity, start, end)


def aggregated(
    records: Iterable[Guided], meter: Meter, tariff: CompiledTariff
) -> list[tuple[RatableUsage, list[int]]]:
    """Give what is to be rated, each with the numbers of its records; the first is the
    number of the whole. Records before the first version of the tariff are left out."""
    groups: dict[tuple[object, ...], list[Guided]] = {}
    for record in records:
        spans = tariff.spans(record.started_at, record.ended_at)
        if spans is None:
            continue
        alone = (record.id,) if len(spans) > 1 else ()
        key = (record.service, spans[0].start, *alone)
        groups.setdefault(key, []).append(record)
    return [(_sum(some, meter), [r.id for r in some]) for some in groups.values()]


def _sum(records: list[Guided], meter: Meter) -> RatableUsage:
    unit = quantity_of(meter.unit)
    total = sum(record.quantity for record in records) * unit.number
    first = min(record.started_at for record in records)
    figures = {"seconds": 0, "octets": 0, "units": 0} | {unit.unit: total}
    return RatableUsage(
        service=records[0].service,
        usage_id=records[0].id,
        session_id=records[0].id,
        session_started_at=first,
        started_at=first,
        ended_at=max(record.ended_at for record in records),
        seconds=figures["seconds"],
        input_octets=0,
        output_octets=figures["octets"],
        derived=Derived.REPORTED,
        units=figures["units"],
    )


def canonical(record: object) -> object:
    """Give what a record says, however it writes it: two that give the same are one.

    A number and a time are what they are read as; an empty cell of a CSV says nothing,
    and of a field that nobody reads its text counts.
    """
    if not isinstance(record, Mapping):
        return record
    told = {k: v for k, v in record.items() if v not in (None, "")}
    start = told.get("start")
    if start is not None:
        told.setdefault("end", start)  # without an end it took no time
    return {k: _READ.get(k, _text)(v) for k, v in told.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.encode(value).decode()


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 253 and value.isprintable()


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value) if len(value) <= 18 else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _time(value: Any) -> int | None:
    whole = _whole(value)
    if whole is None and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        # A time without a zone would be a guess at money.
        whole = None if moment.tzinfo is None else int(moment.timestamp())
    return whole if whole is not None and 0 <= whole < 2**40 else None


def _moment(value: Any) -> int | str:
    at = _time(value)
    return _text(value) if at is None else at


def _number(value: Any) -> int | str:
    whole = _whole(value)
    return _text(value) if whole is None else whole


_READ: Final[dict[str, Callable[[Any], object]]] = {
    # A name is a text, and a number is none.
    **dict.fromkeys(("event_id", "user", "meter"), json.encode),
    "quantity": _number,
    "start": _moment,
    "end": _moment,
}
