"""What a session has used, from the cumulative counters that its NAS reports.

The law: the same set of reports gives the same total to the octet, in whatever order
and however often they come. So the reports are points on the session's own time
(Acct-Session-Time), and the total is a function of the points sorted by it, never of
their arrival. From one point to the next a counter

* rose: the difference was used;
* fell on a NAS without Gigawords, and going round through 2^32 is plausible: it wrapped
  once, which RFC 2869 section 5.1 has no way to tell;
* fell otherwise: it was reset (a line card changed, a session handed over), and all it
  shows now was used since.

Reports of the same second are one point with the larger of each counter. Absent is not
zero: a counter that a report leaves out is not touched by it.

Nearly every report comes behind all others, and is one step on. For the rest the last
``_POINTS`` points are kept, and the steps before them folded into a base: a report
older than that changes nothing, since a later cumulative one stands for it.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from functools import partial
from itertools import pairwise
from typing import NamedTuple

WRAP = 1 << 32
_LARGEST = (1 << 62) - 1
"""What no honest session reaches and every database can hold."""

_POINTS = 8
_ABSENT = (1 << 64) - 1
_COUNTERS = 4
_BASE = struct.Struct("<I8Q")
_POINT = struct.Struct("<I4Q")
_BASE_AND_POINT = struct.Struct("<I8QI4Q")
_LONGEST = _BASE.size + _POINTS * _POINT.size
_NOTHING = _BASE.pack(0, *(0,) * 8)
_SECOND = struct.calcsize("<I")
_SHOWN = _POINT.size - _SECOND
_KEPT = _LONGEST - _BASE_AND_POINT.size
_OLDEST = struct.Struct(f"<{_BASE.size}x {_SECOND}s {_SHOWN}s {_KEPT}s")
_MOVED_ON = struct.Struct(f"<{_SECOND}s {_SHOWN}s {_SHOWN}s {_KEPT}s I4Q")


class Derived(StrEnum):
    """How a difference was derived, the least certain last."""

    REPORTED = "reported"
    WRAPPED = "wrapped"
    ESTIMATED = "estimated"
    CORRECTED = "corrected"


class Gigawords(StrEnum):
    """Whether a NAS carries the upper half of its octet counters (RFC 2869 5.1)."""

    AUTO = "auto"
    NEVER = "never"
    ALWAYS = "always"


class WrapRule(NamedTuple):
    """When a fall is a wrap: what the NAS is known to do, and its fastest line.

    ``octets_may_wrap`` is false once the session has shown Gigawords. ``certain`` says
    that the operator knows the NAS to have 32 bits only. ``octets_per_second`` bounds
    what one session can use.
    """

    octets_may_wrap: bool
    certain: bool
    octets_per_second: int


Values = tuple[int | None, int | None, int | None, int | None]
"""Input and output octets, input and output packets; None is absent."""

Totals = tuple[int, int, int, int]


class Counters(NamedTuple):
    """What was used up to the last point, and what is needed to go on from it.

    ``raw`` is each counter as last shown; ``at`` the last point's second; ``points``
    the base and the kept points, packed, as the database keeps them.
    """

    totals: Totals
    raw: Totals
    at: int
    points: bytes


_ZEROS: Totals = (0, 0, 0, 0)
START = Counters(_ZEROS, _ZEROS, 0, _NOTHING)


Step = tuple[Counters, Totals, Derived]
"""The counters after a report, what it added, and how that was derived."""


# Half the time of the class's own way.
_new_counters = partial(tuple.__new__, Counters)


def rise(counters: Counters, at: int, values: Values) -> tuple[Counters, Totals] | None:
    """Do as ``advance`` does with the report that nearly every one is, and give None
    for any other: all counters are there, behind all points, and none ever fell.

    Only where each kept point rose, from a base that did, are totals and raw one tuple.
    So the oldest point is what the base becomes, and its octets need not be read.
    """
    totals, raw, last, points = counters
    a, b, c, d = values
    if (
        totals is not raw
        or at <= last
        or a is None
        or b is None
        or c is None
        or d is None
    ):
        return None
    e, f, g, h = totals
    if a < e or b < f or c < g or d < h:
        return None
    if len(points) < _LONGEST:
        points += _POINT.pack(at, a, b, c, d)
    else:
        second, shown, kept = _OLDEST.unpack(points)
        points = _MOVED_ON.pack(second, shown, shown, kept, at, a, b, c, d)
    now = _new_counters((values, values, at, points))
    return now, (a - e, b - f, c - g, d - h)


def advance(counters: Counters, at: int, values: Values, rule: WrapRule) -> Step:
    """Fold in one report: ``at`` is its second of the session's own time."""
    if at > counters.at or counters.points == _NOTHING:
        return _advance_behind(counters, at, values, rule)
    base, points = _unpack(counters.points)
    if at <= base.at and base.raw != START.raw:
        return counters, _ZEROS, Derived.REPORTED
    points = _insert(points, at, values)
    after = _refold(base, points, rule)
    added = _difference(after.totals, counters.totals)
    # The last point grows by what came in its own second; anything else is history.
    newest = at == counters.at
    return after, added, Derived.REPORTED if newest else Derived.CORRECTED


def _advance_behind(
    counters: Counters, at: int, values: Values, rule: WrapRule
) -> Step:
    before = counters.totals
    totals, raw, derived = _step(counters, at, values, rule)
    packed = counters.points + _pack_point(at, values)
    if len(packed) > _LONGEST:
        packed = _fold_oldest(packed, rule)
    a, b, c, d = before
    e, f, g, h = totals
    added = (e - a, f - b, g - c, h - d)
    return Counters(totals, raw, at, packed), added, derived


def _step(
    counters: Counters, at: int, values: Values, rule: WrapRule
) -> tuple[Totals, Totals, Derived]:
    """Go one point on, each counter for itself."""
    before, shown = counters.totals, counters.raw
    a, b, c, d = values
    if (
        a is not None
        and b is not None
        and c is not None
        and d is not None
        and a >= shown[0]
        and b >= shown[1]
        and c >= shown[2]
        and d >= shown[3]
    ):
        now = (a, b, c, d)
        if before is shown:  # never wrapped or reset: one tuple serves as both
            return now, now, Derived.REPORTED
        return (
            (
                min(before[0] + a - shown[0], _LARGEST),
                min(before[1] + b - shown[1], _LARGEST),
                min(before[2] + c - shown[2], _LARGEST),
                min(before[3] + d - shown[3], _LARGEST),
            ),
            now,
            Derived.REPORTED,
        )
    totals, raw, derived = list(before), list(shown), Derived.REPORTED
    for i, value in enumerate(values):
        if value is None:
            continue
        if value >= shown[i]:
            totals[i] += value - shown[i]
        elif _wrapped(shown[i], value, at, counters, i, rule):
            totals[i] += WRAP - shown[i] + value
            derived = max(derived, Derived.WRAPPED, key=_CERTAINTY.index)
        else:
            totals[i] += value
            derived = max(derived, Derived.ESTIMATED, key=_CERTAINTY.index)
        totals[i] = min(totals[i], _LARGEST)
        raw[i] = value
    return _four(totals), _four(raw), derived


def _wrapped(
    shown: int, value: int, at: int, counters: Counters, i: int, rule: WrapRule
) -> bool:
    """Say whether a fall from ``shown`` to ``value`` went round through 2^32.

    It must be possible at the fastest line. Unless the operator knows the NAS, it must
    be likely too: the way round is the shorter one (the order of RFC 1982), or takes no
    more than twice the session's rate until then.
    """
    octets = i < 2
    if shown >= WRAP or (octets and not rule.octets_may_wrap):
        return False
    seconds = at - counters.at
    used = WRAP - shown + value
    # A packet has 64 octets at the least, so the line bounds both kinds of counter.
    if used > rule.octets_per_second * seconds // (1 if octets else 64):
        return False
    if rule.certain or used < WRAP // 2:
        return True
    return used * counters.at <= 2 * counters.totals[i] * seconds


def _fold_oldest(packed: bytes, rule: WrapRule) -> bytes:
    *before, at, a, b, c, d = _BASE_AND_POINT.unpack_from(packed)
    values = [a, b, c, d]
    behind = packed[_BASE_AND_POINT.size :]
    if before[1:5] == before[5:9] and _ABSENT not in values:
        e, f, g, h = before[5:9]
        if a >= e and b >= f and c >= g and d >= h:  # as nearly all: no wrap, no gap
            return _BASE.pack(at, *values, *values) + behind
    base, ((at, point),) = _unpack(packed[: _BASE_AND_POINT.size])
    totals, raw, _ = _step(base, at, point, rule)
    return _BASE.pack(at, *totals, *raw) + behind


def _insert(
    points: list[tuple[int, Values]], at: int, values: Values
) -> list[tuple[int, Values]]:
    """Put a point in its place; with one of the same second, the larger of each."""
    merged = dict(points)
    other = merged.get(at)
    if other is not None:
        a, b, c, d = map(_larger, other, values)
        values = (a, b, c, d)
    merged[at] = values
    return sorted(merged.items())


def _refold(
    base: Counters, points: list[tuple[int, Values]], rule: WrapRule
) -> Counters:
    while len(points) > _POINTS:
        at, values = points.pop(0)
        totals, raw, _ = _step(base, at, values, rule)
        base = Counters(totals, raw, at, b"")
    packed = _BASE.pack(base.at, *base.totals, *base.raw) + b"".join(
        _pack_point(at, values) for at, values in points
    )
    now = base
    for at, values in points:
        totals, raw, _ = _step(now, at, values, rule)
        now = Counters(totals, raw, at, b"")
    return now._replace(points=packed)


def restore(points: bytes, rule: WrapRule) -> Counters:
    """Rebuild the counters of a session from what the database kept of them."""
    base, kept = _unpack(points)
    return _refold(base, kept, rule) if kept else base._replace(points=points)


def longest_gap(counters: Counters) -> int:
    """Give the most seconds between two of the kept points in a row; 0 for one."""
    seconds = [at for at, *_ in _POINT.iter_unpack(counters.points[_BASE.size :])]
    return max((after - before for before, after in pairwise(seconds)), default=0)


def _pack_point(at: int, values: Values) -> bytes:
    a, b, c, d = values
    if None not in values:
        return _POINT.pack(at, a, b, c, d)
    return _POINT.pack(
        at,
        _ABSENT if a is None else a,
        _ABSENT if b is None else b,
        _ABSENT if c is None else c,
        _ABSENT if d is None else d,
    )


def _unpack(packed: bytes) -> tuple[Counters, list[tuple[int, Values]]]:
    at, *numbers = _BASE.unpack_from(packed)
    totals, raw = _four(numbers[:_COUNTERS]), _four(numbers[_COUNTERS:])
    base = Counters(raw if totals == raw else totals, raw, at, b"")
    points = [
        (second, (_present(a), _present(b), _present(c), _present(d)))
        for second, a, b, c, d in _POINT.iter_unpack(packed[_BASE.size :])
    ]
    return base, points


def _present(value: int) -> int | None:
    return None if value == _ABSENT else value


def _larger(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _difference(after: Totals, before: Totals) -> Totals:
    return (
        after[0] - before[0],
        after[1] - before[1],
        after[2] - before[2],
        after[3] - before[3],
    )


def _four(values: list[int]) -> Totals:
    a, b, c, d = values
    return a, b, c, d


_CERTAINTY = list(Derived)
