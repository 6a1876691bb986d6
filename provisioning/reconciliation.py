"""What was ordered held against what the network shows and what is charged.

Each difference has a name, what it costs a month where the offering's tariff says so,
and whose loss that is: what is served and not billed is the ISP's, what is billed and
not served the subscriber's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple


class Drift(StrEnum):
    """The kinds of difference."""

    SERVED_NOT_BILLED = "served_not_billed"
    BILLED_NOT_SERVED = "billed_not_served"
    ORDERED_NOT_THERE = "ordered_not_there"
    THERE_NOT_ORDERED = "there_not_ordered"
    NEVER_SEEN = "never_seen"
    SEEN_WITHOUT_SERVICE = "seen_without_service"
    DEVICE_MISSING = "device_missing"
    DEVICE_OTHER = "device_other"
    DEVICE_UNACKNOWLEDGED = "device_unacknowledged"
    DEVICE_LEFT = "device_left"


class Facts(NamedTuple):
    """What is known of one service, by name.

    ``offering`` and ``tenant`` from whoever knows; ``state`` is the record's (TMF638),
    None where no order made it; ``seen`` tells of a live session or lease; ``device``
    is how its device differs (``provisioning.device_drift``).
    """

    service: str
    tenant: str
    offering: str
    is_there: bool
    state: str | None
    billed: bool
    seen: bool
    seen_quiet: bool
    device: Drift | None = None


class Finding(NamedTuple):
    """One difference; ``monthly_micro`` is in micro-units of ``currency``."""

    drift: Drift
    service: str
    tenant: str
    offering: str
    monthly_micro: int | None = None
    currency: str | None = None


Rule = Callable[[Facts], bool]

RULES: Final[tuple[tuple[Drift, Rule], ...]] = (
    (Drift.SEEN_WITHOUT_SERVICE, lambda f: f.seen and not f.is_there),
    (
        Drift.ORDERED_NOT_THERE,
        lambda f: f.state in ("active", "inactive") and not f.is_there,
    ),
    (Drift.THERE_NOT_ORDERED, lambda f: f.state == "terminated" and f.is_there),
    # A service of the network file is charged by its being there.
    (
        Drift.SERVED_NOT_BILLED,
        lambda f: f.state is not None and f.is_there and not f.billed,
    ),
    (Drift.BILLED_NOT_SERVED, lambda f: f.billed and not f.is_there),
    (Drift.NEVER_SEEN, lambda f: f.state == "active" and f.is_there and f.seen_quiet),
    (Drift.DEVICE_MISSING, lambda f: f.device is Drift.DEVICE_MISSING),
    (Drift.DEVICE_OTHER, lambda f: f.device is Drift.DEVICE_OTHER),
    (Drift.DEVICE_UNACKNOWLEDGED, lambda f: f.device is Drift.DEVICE_UNACKNOWLEDGED),
    (Drift.DEVICE_LEFT, lambda f: f.device is Drift.DEVICE_LEFT),
)
"""Every rule is asked of every service: one can be wrong in two ways."""


def reconcile(
    facts: Iterable[Facts], price: Callable[[str], tuple[int, str] | None]
) -> list[Finding]:
    """List the differences; ``price`` gives an offering's monthly fees."""
    found = []
    for one in facts:
        for drift, rule in RULES:
            if rule(one):
                fee = price(one.offering)
                money = fee if fee is not None else (None, None)
                found.append(
                    Finding(drift, one.service, one.tenant, one.offering, *money)
                )
    return found


def monthly_fees(
    offering: Mapping[str, Any] | None, tariffs: Mapping[str, Mapping[str, Any]]
) -> tuple[int, str] | None:
    """Sum the monthly fees of an offering's newest tariff version, in micro-units.

    Amounts are decimal strings; what has no tariff has no price here.
    """
    tariff = tariffs.get((offering or {}).get("tariff") or "")
    if tariff is None:
        return None
    newest = max(tariff["version"], key=lambda version: str(version["valid_from"]))
    amounts = (
        fee["amount"]
        for fee in newest.get("fee", ())
        if fee.get("every", "month") == "month"
    )
    return sum(map(_micro, amounts)), str(tariff["currency"])


def _micro(amount: str) -> int:
    whole, _, part = amount.partition(".")
    sign = -1 if whole.startswith("-") else 1
    return sign * (abs(int(whole or "0")) * 10**6 + int(part[:6].ljust(6, "0")))
