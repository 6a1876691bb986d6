"""The rules within a tariff, between tariffs and who refers to them, and in time.

Overlapping windows, gaps, units that do not fit and names that lead nowhere are held
against the parsed document like the rules of ``config.network_checks``, so that all are
told at once with their places. A version that has a mistake of type or value has no
meaning yet: those mistakes are told by ``config.checker``, its rules when they are
mended. What is in force already cannot be told from a file alone: ``frozen`` compares
with what is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from config.checker import find_mistakes
from config.problems import Finding, KeyPath, nearest
from config.quantities import day_of, minutes_of, quantity_of, zone_of
from config.row import Body
from config.tariff_windows import all_days, stretches
from config.tariffs import WEEKDAYS, Rate, Version

_UNITS = {"seconds": "seconds", "units": "units"}
"""The unit of a measure; all others are octets."""

_ELEMENTS = ("fee", "rate", "topup", "percentile", "peak", "loan")
"""The lists whose rows are lines of a bill, and so have names of one kind."""

_WHOLESALE = ("percentile", "peak", "loan")


def find_tariff_conflicts(document: Mapping[str, Any]) -> list[Finding]:
    """Find every rule that the tariffs of a network document break."""
    found = []
    for place, tariff in _rows(document, "tariff"):
        days: dict[str, int] = {}
        for at, version in _rows(tariff, "version"):
            path = ("tariff", place, "version", at)
            first = version.get("valid_from")
            if isinstance(first, str) and days.setdefault(first, at) != at:
                message = f"version[{days[first]}] is valid from {first} already"
                found.append(Finding((*path, "valid_from"), message))
            found += _sides(tariff.get("isp") is not None, version, path)
            if not find_mistakes(Version, version):
                found += _version(msgspec.convert(version, Version), path)
    found += _references(document)
    return found


def _rows(table: Any, key: str) -> Iterator[tuple[int, Any]]:
    rows = table.get(key) if isinstance(table, Mapping) else None
    if isinstance(rows, list):
        yield from (
            (at, row) for at, row in enumerate(rows) if isinstance(row, Mapping)
        )


def _sides(
    is_retail: bool, version: Mapping[str, Any], path: KeyPath
) -> Iterator[Finding]:
    """Say what an ISP's tariff has that only others have, and the reverse."""
    if is_retail:
        message = "is for wholesale: only the Network Provider's tariffs have it"
        yield from (Finding((*path, k), message) for k in _WHOLESALE if k in version)
        return
    if version.get("topup"):
        message = "is for retail: nobody buys a top-up but an ISP's subscriber"
        yield Finding((*path, "topup"), message)
    for at, rate in _rows(version, "rate"):
        message = "is for retail: all of an ISP's sessions are too many to be kept"
        if rate.get("counted") == "session":
            yield Finding((*path, "rate", at, "counted"), message)
        if str(rate.get("connect_fee", "")).strip("0."):
            yield Finding((*path, "rate", at, "connect_fee"), message)
    for at, quota in _rows(version, "quota"):
        if quota.get("action", "none") != "none":
            message = "is for retail: nobody carries it out for all of an ISP's use"
            yield Finding((*path, "quota", at, "action"), message)


def _version(version: Version, path: KeyPath) -> Iterator[Finding]:
    yield from _names(version, path)
    yield from _clocks(version, path)
    yield from _weeks(version, path)
    yield from _units(version, path)
    yield from _tiers(version, path)
    yield from _grants(version, path)
    yield from _amounts_off(version, path)


def _names(version: Version, path: KeyPath) -> Iterator[Finding]:
    """Say which names stand twice, and which lead nowhere."""
    spaces: dict[str, dict[str, str]] = {}
    for field in msgspec.structs.fields(Version):
        for at, row in enumerate(getattr(version, field.name)):
            if isinstance(row, str) or field.name == "valid_from":
                continue
            space = "element" if field.name in _ELEMENTS else field.name
            own = f"{field.name}[{at}]"
            other = spaces.setdefault(space, {}).setdefault(row.name, own)
            if other != own:
                message = f"{row.name!r} is the name of {other} already"
                yield Finding((*path, field.name, at, "name"), message)
    rates = [rate.name for rate in version.rate]
    allowances = [allowance.name for allowance in version.allowance]
    elements = [row.name for key in _ELEMENTS for row in getattr(version, key)]
    wanted: list[tuple[KeyPath, str, str, Sequence[str]]] = []
    for at, rate in enumerate(version.rate):
        if rate.window is not None:
            windows = [window.name for window in version.window]
            wanted.append((("rate", at, "window"), "window", rate.window, windows))
    for kind in ("topup", "quota"):
        wanted += [
            ((kind, at, "allowance"), "allowance", row.allowance, allowances)
            for at, row in enumerate(getattr(version, kind))
        ]
    for at, quota in enumerate(version.quota):
        if quota.topup is not None:
            topups = [t.name for t in version.topup if t.allowance == quota.allowance]
            message = f"top-up of allowance {quota.allowance!r}"
            wanted.append((("quota", at, "topup"), message, quota.topup, topups))
    for kind, key, candidates in (
        ("allowance", "rates", rates),
        ("cap", "rates", rates),
        ("discount", "elements", elements),
    ):
        for at, row in enumerate(getattr(version, kind)):
            names: tuple[str, ...] = getattr(row, key)
            for nth, name in enumerate(names):
                wanted.append(
                    ((kind, at, key, nth), key.removesuffix("s"), name, candidates)
                )
                if name in names[:nth]:
                    message = f"{name!r} stands twice"
                    yield Finding((*path, kind, at, key, nth), message)
    for place, what, name, there in wanted:
        if name not in there:
            message = f"this version has no {what} called {name!r}"
            yield Finding((*path, *place), message, nearest(name, there))


def _clocks(version: Version, path: KeyPath) -> Iterator[Finding]:
    for at, window in enumerate(version.window):
        if minutes_of(window.start) == 1440:
            message = "a window cannot begin at 24:00; write 00:00 of the next day"
            yield Finding((*path, "window", at, "start"), message)
        if window.start == window.end:
            message = (
                f"{window.end} is the start as well, which may mean a whole day or"
                " nothing; a whole day is 00:00 to 24:00"
            )
            yield Finding((*path, "window", at, "end"), message, stays=True)


def endless(version: Body) -> list[str]:
    """Name the windows of a version that end when they begin. The rater takes them for
    24 hours; one that is in force stays so for ever, as all of its version does."""
    windows = version.get("window", ())
    return [window["name"] for window in windows if window["start"] == window["end"]]


def _weeks(version: Version, path: KeyPath) -> Iterator[Finding]:
    """Say where the rates of a measure overlap, and where there is none."""
    known = {window.name for window in version.window}
    by_measure: dict[str, list[tuple[int, Rate]]] = {}
    for at, rate in enumerate(version.rate):
        by_measure.setdefault(rate.measure, []).append((at, rate))
    for measure, rates in by_measure.items():
        always = [at for at, rate in rates if rate.window is None]
        for at in always[1:]:
            message = f"rate[{always[0]}] of {measure!r} has no window either"
            yield Finding((*path, "rate", at), message)
        timed = {r.window: at for at, r in rates if r.window and r.window in known}
        for at, rate in rates:
            if rate.window and timed.get(rate.window, at) != at:
                message = f"rate[{timed[rate.window]}] of {measure!r} has it already"
                yield Finding((*path, "rate", at, "window"), message)
        if len(timed) + len(always) == len(rates):
            yield from _week(version, path, measure, timed, not always)


def _week(
    version: Version,
    path: KeyPath,
    measure: str,
    timed: Mapping[str, int],
    must_cover: bool,
) -> Iterator[Finding]:
    windows = [window for window in version.window if window.name in timed]
    told: set[tuple[str, ...]] = set()
    for day, yesterday in all_days():
        for stretch in stretches(windows, day, yesterday):
            names = stretch.windows
            if len(names) == 1 or names in told or not (names or must_cover):
                continue
            told.add(names)
            when = f"{_clock(stretch.start)} to {_clock(stretch.end)} on "
            when += "a holiday, " * day.holiday + WEEKDAYS[day.weekday]
            if names:
                at = max(timed[name] for name in names)
                message = f"windows {' and '.join(map(repr, names))} overlap, {when}"
                yield Finding((*path, "rate", at, "window"), message)
            else:
                message = f"no rate of {measure!r} is for {when}"
                yield Finding((*path, "rate", min(timed.values())), message)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _units(version: Version, path: KeyPath) -> Iterator[Finding]:
    """Say which quantities are of another unit than what they are compared with."""
    wanted: list[tuple[KeyPath, str | None, str]] = []
    units = {}
    for at, rate in enumerate(version.rate):
        unit = units[rate.name] = _UNITS.get(rate.measure, "octets")
        wanted += [
            (("rate", at, key), getattr(rate, key), unit)
            for key in ("per", "increment", "minimum")
        ]
        wanted += [
            (("rate", at, "tiers", nth, "above"), tier.above, unit)
            for nth, tier in enumerate(rate.tiers)
        ]
    granted = {}
    for at, allowance in enumerate(version.allowance):
        unit = granted[allowance.name] = quantity_of(allowance.quantity).unit
        wanted.append((("allowance", at, "rollover"), allowance.rollover, unit))
        for nth, name in enumerate(allowance.rates):
            if units.get(name, unit) != unit:
                message = f"{name!r} counts {units[name]}, the allowance {unit}"
                yield Finding((*path, "allowance", at, "rates", nth), message)
    for at, topup in enumerate(version.topup):
        if topup.allowance in granted:
            unit = granted[topup.allowance]
            wanted.append((("topup", at, "quantity"), topup.quantity, unit))
    for place, text, unit in wanted:
        if text is not None and quantity_of(text).unit != unit:
            yield Finding((*path, *place), f"{text!r} is not in {unit}")


def _tiers(version: Version, path: KeyPath) -> Iterator[Finding]:
    for at, rate in enumerate(version.rate):
        bounds = [quantity_of(tier.above).number for tier in rate.tiers]
        for nth in range(1, len(bounds)):
            if bounds[nth] <= bounds[nth - 1]:
                message = (
                    f"must be above {rate.tiers[nth - 1].above!r}, the tier before"
                )
                yield Finding((*path, "rate", at, "tiers", nth, "above"), message)


def _grants(version: Version, path: KeyPath) -> Iterator[Finding]:
    shared = {allowance.shared for allowance in version.allowance}
    if len(shared) > 1:
        at = next(i for i, a in enumerate(version.allowance) if a.shared)
        message = "either all allowances of a version are shared or none is"
        yield Finding((*path, "allowance", at, "shared"), message)
    for at, quota in enumerate(version.quota):
        if quota.action == "throttle" and not (quota.down_kbps or quota.up_kbps):
            message = "throttle needs down_kbps or up_kbps"
            yield Finding((*path, "quota", at, "action"), message)
        if quota.action == "buy" and quota.topup is None:
            yield Finding((*path, "quota", at, "action"), "buy needs a topup")


def _amounts_off(version: Version, path: KeyPath) -> Iterator[Finding]:
    capped: dict[str, int] = {}
    for at, cap in enumerate(version.cap):
        for nth, name in enumerate(cap.rates):
            if capped.setdefault(name, at) != at:
                message = f"cap[{capped[name]}] is for {name!r} already"
                yield Finding((*path, "cap", at, "rates", nth), message)
    for at, discount in enumerate(version.discount):
        first, last = discount.first_day, discount.last_day
        if first and last and day_of(last) < day_of(first):
            message = f"{last} is before first_day, {first}"
            yield Finding((*path, "discount", at, "last_day"), message)


def _references(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Say which tariffs are asked for that are not there, or are somebody else's."""
    owners = {
        row["name"]: row.get("isp")
        for _, row in _rows(document, "tariff")
        if isinstance(row.get("name"), str)
    }
    for kind, key in (("offering", "tariff"), ("isp", "wholesale")):
        for place, row in _rows(document, kind):
            name, isp = row.get(key), row.get("isp") if kind == "offering" else None
            if not isinstance(name, str):
                continue
            path = (kind, place, key)
            if name not in owners:
                message = f"there is no tariff called {name!r}"
                yield Finding(path, message, nearest(name, owners))
            elif owners[name] != isp:
                whose = "the Network Provider's" if isp is None else f"one of {isp!r}"
                yield Finding(path, f"{name!r} is not {whose}")


def frozen(
    before: Mapping[tuple[str, str], Body],
    after: Mapping[tuple[str, str], Body],
    now: int,
) -> list[str]:
    """Say what would change of tariffs in force at ``now``, seconds since 1970.

    Both are a network's bodies. A version may be added if it begins in the future, and
    changed or taken away until it has begun; what is in force stays for ever, because
    what was rated by it must be explained and can be rated again. What a rule that came
    later refuses may stay in what is stored already, and comes in nowhere else.
    """
    refused = []
    for (kind, name), old in before.items():
        if kind != "tariff":
            continue
        today = datetime.fromtimestamp(now, zone_of(old["zone"])).date()
        new = after.get((kind, name))
        kept = _by_day(new) if new else {}
        place = f"tariff {name!r}"
        begun = {d: v for d, v in _by_day(old).items() if day_of(d) <= today}
        if not begun:
            continue
        if new is None:
            refused.append(f"{place} is in force and cannot be deleted")
            continue
        refused += [
            f"{place}: {key} cannot change while a version is in force"
            for key in sorted((old.keys() | new.keys()) - {"version"})
            if old.get(key) != new.get(key)
        ]
        for day, version in begun.items():
            if day not in kept:
                message = "is in force and cannot be taken away"
            elif kept[day] != version:
                keys = kept[day].keys() | version.keys()
                changed = [
                    k for k in sorted(keys) if kept[day].get(k) != version.get(k)
                ]
                message = f"is in force and cannot change ({', '.join(changed)})"
            else:
                continue
            refused.append(f"{place}, version of {day}: {message}")
        refused += [
            f"{place}, version of {day}: a new one begins after today, {today}"
            for day in kept
            if day not in begun and day_of(day) <= today
        ]
    return [*refused, *_new_endless(before, after)]


def _new_endless(
    before: Mapping[tuple[str, str], Body], after: Mapping[tuple[str, str], Body]
) -> Iterator[str]:
    for (kind, name), tariff in after.items():
        if kind != "tariff":
            continue
        known = _by_day(before[kind, name]) if (kind, name) in before else {}
        for day, version in _by_day(tariff).items():
            for window in endless(version) if version != known.get(day) else ():
                place = f"tariff {name!r}, version of {day}, window {window!r}"
                yield f"{place}: ends when it begins; a whole day is 00:00 to 24:00"


def _by_day(tariff: Body) -> dict[str, Body]:
    return {version["valid_from"]: version for version in tariff["version"]}
