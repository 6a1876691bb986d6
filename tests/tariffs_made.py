"""Tariffs and usage for the rating tests: written short, or drawn by hypothesis.

Windows begin on quarter hours and records lie within one quarter hour (UTC), which no
boundary of any zone cuts, so a slow rater needs no rule for how to cut them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import assume
from hypothesis import strategies as st

from config.network import Network
from config.network_checks import find_conflicts
from config.tariffs import WEEKDAYS
from rating.charge import Charge, RatableUsage
from rating.counters import Derived
from rating.rater import Rated, Rater

QUARTER = 900
SERVICE = "aurora-101"

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # its clocks change by half an hour
    "Asia/Kathmandu",  # 5:45 from UTC
)
STARTS = (
    1_774_656_000,  # 2026-03-28, a day before Europe's clocks go forward
    1_792_800_000,  # 2026-10-24, a day before they go back
    1_793_404_800,  # 2026-10-31, a day before America's do
    1_790_985_600,  # 2026-10-03, a day before Lord Howe's go forward
    1_772_323_200,  # 2026-03-01, the day after February's last
)


def document(
    version: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    services: Sequence[Mapping[str, Any]] = ({"name": SERVICE},),
    wholesale: Mapping[str, Any] | None = None,
    **tariff: Any,
) -> dict[str, Any]:
    """A network file's document with one retail tariff, called home."""
    versions = [version] if isinstance(version, Mapping) else list(version)
    head = {"currency": "EUR", "zone": "Europe/Berlin"}
    tariffs: list[dict[str, Any]] = [
        {
            "name": "home",
            "isp": "aurora",
            "version": [{"valid_from": "2020-01-01", **v} for v in versions],
            **head,
            **tariff,
        }
    ]
    isp = {"name": "aurora"}
    if wholesale is not None:
        first = {"valid_from": "2020-01-01", **wholesale}
        tariffs.append({"name": "access", "version": [first], **head})
        isp["wholesale"] = "access"
    return {
        "area": [{"name": "harbour"}],
        "isp": [isp],
        "tariff": tariffs,
        "line": [{"name": "harbour-101", "area": "harbour"}],
        "offering": [
            {
                "name": "home-500",
                "isp": "aurora",
                "down_kbps": 500_000,
                "up_kbps": 100_000,
                "tariff": "home",
            }
        ],
        "service": [
            {"isp": "aurora", "line": "harbour-101", "offering": "home-500", **s}
            for s in services
        ],
    }


def network(*args: Any, **kwargs: Any) -> Network:
    """The network of ``document``, which has no mistakes."""
    made = document(*args, **kwargs)
    assert [str(finding) for finding in find_conflicts(made)] == []
    return msgspec.convert(made, Network)


def rater_of(made: Network) -> Rater:
    """A rater with nothing stored."""
    rater = Rater(next_balance_id=1)
    rater.know(made)
    return rater


def usage(
    started_at: int,
    ended_at: int,
    octets_in: int = 0,
    octets_out: int = 0,
    *,
    usage_id: int = 1,
    session_id: int = 1,
    session_started_at: int | None = None,
    service: str = SERVICE,
    units: int = 0,
) -> RatableUsage:
    """One record."""
    return RatableUsage(
        service,
        usage_id,
        session_id,
        started_at if session_started_at is None else session_started_at,
        started_at,
        ended_at,
        ended_at - started_at,
        octets_in,
        octets_out,
        Derived.REPORTED,
        units,
    )


def rated(rater: Rater, usages: Iterable[RatableUsage]) -> list[Charge]:
    """The retail charges of records, one after the other."""
    charges = []
    for record in usages:
        rater.adopt(rater.missing([record]))
        result = rater.rate(record)
        assert isinstance(result, Rated)
        charges += result.retail
    return charges


def money(charges: Iterable[Charge]) -> dict[tuple[str, str, str], int]:
    """What charges sum up to, by period, version and element; what is 0 left out."""
    sums: dict[tuple[str, str, str], int] = {}
    for charge in charges:
        key = (charge.period, charge.version, charge.element)
        sums[key] = sums.get(key, 0) + charge.amount
    return {key: amount for key, amount in sums.items() if amount}


_AMOUNTS = st.integers(0, 5_000_000).map(lambda micro: f"{micro / 1e6:.6f}")
_CLOCKS = st.integers(0, 95).map(lambda q: f"{q // 4:02}:{q % 4 * 15:02}")
_OCTETS = st.integers(1, 5000).map(lambda kilobytes: f"{kilobytes} kB")


@st.composite
def rates(draw: st.DrawFn, window: str | None, measure: str, name: str) -> Any:
    """A rate by octets with whatever a rate can have, sessions left out."""
    rate: dict[str, Any] = {
        "name": name,
        "measure": measure,
        "price": draw(_AMOUNTS),
        "per": draw(_OCTETS),
    }
    if window is not None:
        rate["window"] = window
    if draw(st.booleans()):
        rate["increment"] = draw(_OCTETS)
    if draw(st.booleans()):
        rate["minimum"] = draw(_OCTETS)
    bounds = sorted(draw(st.sets(st.integers(1, 9000), max_size=3)))
    rate["tiers"] = [{"above": f"{b} kB", "price": draw(_AMOUNTS)} for b in bounds]
    rate["tiering"] = draw(st.sampled_from(["graduated", "volume"]))
    return rate


@st.composite
def versions(draw: st.DrawFn, *, monotone: bool = False) -> dict[str, Any]:
    """A version with windows, rates, allowances, a cap and a discount."""
    windows = []
    cuts = sorted(draw(st.sets(_CLOCKS, min_size=2, max_size=3)))
    pairs = [(cuts[0], cuts[1])]
    if len(cuts) == 3:
        pairs.append((cuts[1], cuts[2]))
    elif draw(st.booleans()):
        pairs = [(cuts[1], cuts[0])]
    for nth, (start, end) in enumerate(pairs):
        days = sorted(draw(st.sets(st.sampled_from(WEEKDAYS), min_size=1)))
        holidays = draw(st.sampled_from(["as_days", "also", "never"]))
        windows.append(
            {
                "name": f"w{nth}",
                "days": days,
                "start": start,
                "end": end,
                "holidays": holidays,
            }
        )
    made = []
    for measure in draw(
        st.sets(st.sampled_from(["in", "out", "sum", "larger"]), min_size=1, max_size=2)
    ):
        names = [w["name"] for w in windows if draw(st.booleans())]
        made += [draw(rates(name, measure, f"{measure} {name}")) for name in names]
        made.append(draw(rates(None, measure, measure)))
    if monotone:
        for rate in made:
            rate["tiering"] = "graduated"
    elements = [rate["name"] for rate in made]
    some = st.lists(st.sampled_from(elements), min_size=1, unique=True)
    allowances = [
        {
            "name": f"a{nth}",
            "quantity": draw(_OCTETS),
            "rates": draw(
                st.one_of(some, st.sampled_from(elements).map(lambda e: [e]))
            ),
            "priority": draw(st.integers(0, 2)),
        }
        for nth in range(draw(st.integers(0, 2)))
    ]
    version: dict[str, Any] = {
        "holidays": ["2026-03-29", "2026-10-26"],
        "window": windows,
        "rate": made,
        "allowance": allowances,
    }
    # Without cap and discount the direct way goes on beyond an allowance.
    extras = draw(st.sampled_from(["none", "none", "cap", "discount", "both"]))
    if extras in ("cap", "both"):
        version["cap"] = [
            {"name": "cap", "amount": draw(_AMOUNTS), "rates": draw(some)}
        ]
    if extras in ("discount", "both"):
        version["discount"] = [
            {"name": "off", "percent": "12.5", "elements": draw(some)}
        ]
    return version


@st.composite
def tariffs(draw: st.DrawFn, *, monotone: bool = False) -> Network:
    """A network with a tariff of one or two versions that any day can divide, and
    perhaps a tax that does."""
    made = [draw(versions(monotone=monotone))]
    if draw(st.booleans()):
        made.append(draw(versions(monotone=monotone)) | {"valid_from": "2026-10-25"})
    drawn = document(
        made,
        zone=draw(st.sampled_from(ZONES)),
        anchor_day=draw(st.sampled_from([1, 15, 25, 29, 30, 31])),
    )
    if draw(st.booleans()):
        days = st.sampled_from(["2026-03-30", "2026-10-26", "2026-11-01"])
        tax = {"name": "vat", "percent": "20", "zone": draw(st.sampled_from(ZONES))}
        drawn["tax"] = [{**tax, "first_day": draw(days)}]
    assume(not find_conflicts(drawn))
    return msgspec.convert(drawn, Network)


@st.composite
def quarters(draw: st.DrawFn) -> list[RatableUsage]:
    """Records of one service, each within a quarter hour, some days long in all."""
    octets = st.integers(0, 300_000)
    places = st.tuples(st.integers(0, 96 * 4), octets, octets, st.integers(1, QUARTER))
    drawn = draw(st.lists(places, min_size=1, max_size=12))
    return in_quarters(draw(st.sampled_from(STARTS)), drawn)


def in_quarters(
    start: int, drawn: Iterable[tuple[int, int, int, int]]
) -> list[RatableUsage]:
    """Records of one service: each the number of its quarter hour from a start on, its
    octets in and out, and its length in seconds."""
    return [
        usage(
            start + place * QUARTER,
            start + place * QUARTER + length,
            octets_in,
            octets_out,
            usage_id=nth,
            session_id=nth,
        )
        for nth, (place, octets_in, octets_out, length) in enumerate(drawn)
    ]
