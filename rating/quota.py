"""What happens while an allowance runs out: events, and whether the network obeyed.

An event says what is to be done and to whom; the provisioning side does it, and the
next usage records of the service show whether it took effect. Each threshold is told
once a period, and again when a top-up has taken the balance back below it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from rating.charge import RatableUsage

if TYPE_CHECKING:
    from rating.balance import Balance

_EXHAUSTED_PERCENT = 100
_OVER_SPEED_PERCENT = 10
"""Bursts that shapers let through, and the edges of a record's time."""


class Kind(StrEnum):
    """What a quota event tells."""

    THRESHOLD = "threshold"
    EXHAUSTED = "exhausted"
    RESTORED = "restored"


class Action(StrEnum):
    """What is to be done when nothing is left."""

    NONE = "none"
    THROTTLE = "throttle"
    WALLED_GARDEN = "walled_garden"
    BLOCK = "block"
    BUY = "buy"


class QuotaEvent(NamedTuple):
    """One threshold passed, or a balance restored; ``remaining`` in ``unit``.

    ``holder`` says whose balance it is: when an account's, the action is for all its
    services. ``action`` is to be carried out when exhausted, and lifted when restored.
    """

    kind: Kind
    tenant: str
    service: str
    holder: str
    tariff: str
    version: str
    period: str
    quota: str
    allowance: str
    percent: int
    remaining: int
    unit: str
    action: Action
    down_kbps: int | None
    up_kbps: int | None
    topup: str | None
    at: int
    usage_id: int | None


def plain(event: QuotaEvent) -> tuple[Any, ...]:
    """Give an event's fields as plain values, which ``event_of`` takes."""
    return event._replace(kind=event.kind.value, action=event.action.value)[:]  # type: ignore[arg-type]


def event_of(values: Iterable[Any]) -> QuotaEvent:
    """Give the event of plain fields."""
    event = QuotaEvent(*values)
    return event._replace(kind=Kind(event.kind), action=Action(event.action))


def alerts(balance: Balance) -> list[int]:
    """Give, by allowance, what must be left for no threshold to be passed; or -1."""
    found = [-1] * len(balance.granted)
    for place, (allowance, thresholds, _) in enumerate(balance.version.quotas):
        if balance.told[place] < len(thresholds):
            granted = balance.granted[allowance]
            percent = thresholds[balance.told[place]]
            left = granted - -(-granted * percent // 100)
            found[allowance] = max(found[allowance], left)
    return found


def told(
    balance: Balance, usage: RatableUsage | None, at: int, service: str
) -> list[QuotaEvent]:
    """Give the events of a balance that changed, and remember that they were told."""
    events = []
    version, left = balance.version, balance.remaining()
    for place, (allowance, thresholds, quota) in enumerate(version.quotas):
        granted, remaining = balance.granted[allowance], left[allowance]
        used = 100 * (granted - remaining)
        passed = sum(used >= percent * granted for percent in thresholds)
        before = balance.told[place]
        balance.told[place] = passed
        if passed == before:
            continue
        exhausted = before == len(thresholds)
        if passed > before:
            percents = [(p, Kind.THRESHOLD) for p in thresholds[before:passed]]
            if percents[-1][0] == _EXHAUSTED_PERCENT:
                percents[-1] = (_EXHAUSTED_PERCENT, Kind.EXHAUSTED)
        else:
            percents = [(used // max(granted, 1), Kind.RESTORED)] if exhausted else []
        for percent, kind in percents:
            acts = kind is not Kind.THRESHOLD
            events.append(
                QuotaEvent(
                    kind,
                    balance.key.tenant,
                    service,
                    balance.key.holder,
                    balance.tariff.name,
                    version.name,
                    balance.cut.key,
                    quota.name,
                    quota.allowance,
                    percent,
                    remaining,
                    version.allowances[allowance].unit,
                    Action(quota.action) if acts else Action.NONE,
                    quota.down_kbps if acts else None,
                    quota.up_kbps if acts else None,
                    quota.topup if acts else None,
                    at if usage is None else usage.ended_at,
                    None if usage is None else usage.usage_id,
                )
            )
    return events


class Effect(StrEnum):
    """What the next usage record says of an action that was carried out."""

    TOO_EARLY = "too_early"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    NOT_VISIBLE = "not_visible"


def effect(event: QuotaEvent, acted_at: int, usage: RatableUsage) -> Effect:
    """Look in a usage record for the effect of an action carried out at a time.

    Only a record that began after it, in another second, can tell: one within the same
    may have begun before. A walled garden is given to the session
    that follows, so one that goes on was not ended; a purchase shows in the balance,
    and what was restored may be used or not.
    """
    if event.kind is Kind.RESTORED:
        return Effect.NOT_VISIBLE
    if usage.started_at <= acted_at:
        return Effect.TOO_EARLY
    if event.action is Action.WALLED_GARDEN:
        went_on = usage.session_started_at < acted_at
        return Effect.FAILED if went_on else Effect.CONFIRMED
    if event.action is Action.BLOCK:
        limits: tuple[int | None, int | None] = (0, 0)
    elif event.action is Action.THROTTLE:
        limits = (event.up_kbps, event.down_kbps)
    else:
        return Effect.NOT_VISIBLE
    seconds = max(usage.seconds, 1)
    for octets, kbps in zip(
        (usage.input_octets, usage.output_octets), limits, strict=True
    ):
        allowed = None if kbps is None else kbps * 125 * seconds
        if allowed is not None and 100 * octets > (100 + _OVER_SPEED_PERCENT) * allowed:
            return Effect.FAILED
    return Effect.CONFIRMED
