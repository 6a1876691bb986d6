"""By which tariff a service was charged, from which day until which.

The change feed knows it, and when each change was made: fees are for the same days
whether they are charged every hour or after a week in which nothing ran. Of a day a
service pays by what it was at its end, so that what was changed and changed back within
a day costs nothing; a service that was ended and ordered again begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from config.network import Network
from config.quantities import day_of
from rating.tariff import CompiledTariff
from storage.network import States, states_of

_DAY: Final = timedelta(days=1)
_ALWAYS: Final = -1

Turns = list[tuple[int, str | None]]
"""Tariffs, each from when on (epoch seconds), in order."""


class Stay(NamedTuple):
    """Days of a service by a tariff of an ISP: ``first`` is the first that is billed
    (None: it always was), ``since`` the first that is charged, which may be in the
    period before the service began, and ``next`` the first that is another's."""

    isp: str
    tariff: str
    first: date | None
    since: date
    next: date | None


class _Part(NamedTuple):
    """A stretch of time in which a service paid by one tariff of one ISP; ``life``
    counts how often it was added, ``known`` is when it first was."""

    isp: str
    tariff: str
    begun: int
    ended: int | None
    life: int
    known: int
    billed_from: date | None


class Terms:
    """Which tariffs offerings and ISPs had, and from when on; those that are gone as
    they last were."""

    def __init__(self, network: Network) -> None:
        self._present: dict[str, dict[str, str | None]] = {
            "offering": {o.name: o.tariff for o in network.offering},
            "isp": {isp.name: isp.wholesale for isp in network.isp},
        }
        self._turns: dict[tuple[str, str], Turns] = {}

    def look_up(self, connection: Connection, found: Mapping[str, States]) -> None:
        """Read what the offerings and ISPs of these services were, unless known."""
        bodies = [b for states in found.values() for _, b in states if b is not None]
        for kind, key in (("offering", "tariff"), ("isp", "wholesale")):
            names = {body[kind] for body in bodies}
            wanted = sorted(n for n in names if (kind, n) not in self._turns)
            ever = states_of(connection, kind, wanted)
            for name in wanted:
                own = [(at, b.get(key)) for at, b in ever.get(name, ()) if b]
                own = own or [(0, self._present[kind].get(name))]
                changes = [b for a, b in pairwise(own) if a[1] != b[1]]
                self._turns[kind, name] = [(_ALWAYS, own[0][1]), *changes]

    def turns(self, kind: str, name: str) -> Turns:
        """Give the tariffs of an offering or ISP that was looked up."""
        return self._turns[kind, name]


def stays_of(
    states: States, terms: Terms, tariffs: Mapping[str, CompiledTariff], now: int
) -> list[Stay]:
    """Give the days of a service by each tariff of its offerings and its ISPs, from
    what it ever was; ``now`` is in epoch seconds."""
    return [
        stay
        for kind in ("offering", "isp")
        for stay in _days(_parts(states, terms, kind, now), tariffs)
    ]


def _parts(states: States, terms: Terms, kind: str, now: int) -> Iterator[_Part]:
    life, last = 0, _ALWAYS
    before: Mapping[str, Any] | None = None
    moments = []
    for at, body in states:
        last = max(last, min(at, now))  # a clock may be put back
        moments.append((last, body))
    for place, (at, body) in enumerate(moments):
        life += body is not None and before is None
        before = body
        if body is None:
            continue
        end = moments[place + 1][0] if place + 1 < len(moments) else None
        turns = terms.turns(kind, body[kind])
        for turn, (since, tariff) in enumerate(turns):
            begun = max(at, since)
            until = turns[turn + 1][0] if turn + 1 < len(turns) else None
            if until is None or (end is not None and end < until):
                until = end
            if tariff is None or (until is not None and until <= begun):
                continue
            billed = body.get("billed_from")
            yield _Part(
                body["isp"],
                tariff,
                begun,
                until,
                life,
                moments[0][0],
                day_of(billed) if billed else None,
            )


def _days(
    parts: Iterator[_Part], tariffs: Mapping[str, CompiledTariff]
) -> Iterator[Stay]:
    held: _Part | None = None
    for part in parts:
        tariff = tariffs.get(part.tariff)
        if tariff is None:
            continue  # it has left the network, with its prices
        day = tariff.calendar.day_of
        if part.ended is not None and day(part.ended) <= day(part.begun):
            continue
        if held is not None and _goes_on(held, part, tariff):
            billed = part.billed_from
            held = held._replace(ended=part.ended, billed_from=billed)
            continue
        if held is not None:
            yield from _stay(held, tariffs[held.tariff])
        held = part
    if held is not None:
        yield from _stay(held, tariffs[held.tariff])


def _goes_on(held: _Part, part: _Part, tariff: CompiledTariff) -> bool:
    day = tariff.calendar.day_of
    return (
        (held.isp, held.tariff, held.life) == (part.isp, part.tariff, part.life)
        and held.ended is not None
        and day(held.ended) == day(part.begun)
    )


def _stay(part: _Part, tariff: CompiledTariff) -> Iterator[Stay]:
    """Give a part's days, if it has any that a version is in force on."""
    day = tariff.calendar.day_of
    since, first = day(part.begun), part.billed_from
    next_ = None if part.ended is None else day(part.ended)
    if since > day(part.known):
        since = first = since if first is None else max(first, since)
    else:
        # What began late in the period before it was made known is not forgotten.
        if tariff.version_on(since) is not None:
            since = tariff.cut_of(since).first
        if first is not None and tariff.version_on(since - _DAY) is not None:
            since = tariff.cut_of(since - _DAY).first
        since = since if first is None else max(first, since)
    since = max(since, tariff.versions[0].first)
    if next_ is None or since < next_:
        yield Stay(part.isp, part.tariff, first, since, next_)
