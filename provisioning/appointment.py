"""The appointment of an order's item (TMF646): when somebody comes to the subscriber.

It is agreed between the ISP and its subscriber, kept with the item, and can be moved or
given up until the item is past its point of no return. Who keeps whose calendar is not
decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from provisioning.refusal import Refusal

LONGEST_SECONDS: Final = 24 * 3600
"""A window that is longer is no appointment."""

FARTHEST_SECONDS: Final = 366 * 24 * 3600


class Appointment(Struct, frozen=True, kw_only=True):
    """From when to when, in epoch seconds, and what whoever comes has to know."""

    start_at: int
    end_at: int
    description: str = ""


class _ValidFor(Struct, rename="camel"):
    start_date_time: str
    end_date_time: str


class _Wire(Struct, rename="camel"):
    valid_for: _ValidFor
    description: Annotated[str, Meta(max_length=500)] = ""


def read_appointment(value: Any, pointer: str) -> Appointment | Refusal:
    """Read TMF646's ``validFor`` and ``description``; the rest is passed over."""
    if not isinstance(value, Mapping):
        return Refusal("invalid_appointment", pointer, "must be an object")
    try:
        wire = msgspec.convert(value, _Wire)
    except msgspec.ValidationError as error:
        return Refusal("invalid_appointment", pointer, str(error))
    times = []
    for key in ("start_date_time", "end_date_time"):
        try:
            moment = datetime.fromisoformat(getattr(wire.valid_for, key))
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            # Whose noon it is has to be said: subscribers and staff live elsewhere.
            where = f"{pointer}/validFor"
            reason = "must be RFC 3339 times with an offset, 2026-01-31T12:00:00Z"
            return Refusal("invalid_appointment", where, reason)
        times.append(int(moment.timestamp()))
    start_at, end_at = times
    if not 0 < end_at - start_at <= LONGEST_SECONDS:
        reason = "must end after it begins, and within a day"
        return Refusal("invalid_appointment", f"{pointer}/validFor", reason)
    return Appointment(start_at=start_at, end_at=end_at, description=wire.description)


def misplaced(
    appointment: Appointment, pointer: str, start_at: int, now: int
) -> Refusal | None:
    """Say what is wrong with when it is; ``start_at`` is when the order begins."""
    where = f"{pointer}/validFor/startDateTime"
    if appointment.start_at < now:
        return Refusal("appointment_past", where, "is over already")
    if appointment.start_at > now + FARTHEST_SECONDS:
        return Refusal("appointment_too_far", where, "is more than a year away")
    if appointment.start_at < start_at:
        reason = "is before the order's requested start"
        return Refusal("appointment_too_early", where, reason)
    return None
