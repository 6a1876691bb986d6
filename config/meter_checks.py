"""What a tariff may not have that a BSP's meter is rated by: what nobody would act on;
and what one may not have that network usage is rated by: units, which only BSPs count.

A meter's records are counts: nobody is throttled for them or sold more of an allowance,
no line has a fee, and there are no sessions, for a BSP cuts its use as it likes. A
tariff that speaks of such things would be taken at its word by who reads it and charge
something else, so it is refused; and so is one that has no price for what is counted.
It is none of an ISP's either, who may change its own: the price is the BSP's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from config.problems import Finding, KeyPath, rows_of
from config.quantities import quantity_of

_NOBODY: Final = {
    "fee": "charges fees",
    "quota": "carries out quotas",
    "percentile": "samples traffic",
    "peak": "counts sessions",
    "loan": "lends addresses",
}
_MEASURES: Final = {
    "seconds": ("seconds",),
    "octets": ("out", "sum", "larger"),
    "units": ("units",),
}
"""What counts a meter's records, by the unit of the meter."""


def find_meter_conflicts(document: Mapping[str, Any]) -> list[Finding]:
    """Find every rule that the tariffs of meters break."""
    units: dict[str, dict[str, str]] = {}
    tariffs = {
        row["name"]: (place, row)
        for place, row in rows_of(document, "tariff")
        if isinstance(row.get("name"), str)
    }
    found: list[Finding] = []
    for place, meter in rows_of(document, "meter"):
        name, tariff = meter.get("name"), meter.get("tariff")
        unit = _unit(meter.get("unit", "1 unit"))
        if not isinstance(name, str) or unit is None or tariff not in tariffs:
            continue
        if (isp := tariffs[tariff][1].get("isp")) is not None:
            message = f"{tariff!r} is one of {isp!r}"
            found.append(Finding(("meter", place, "tariff"), message))
        units.setdefault(tariff, {})[name] = unit
    by_network = {row.get("tariff") for _, row in rows_of(document, "offering")}
    by_network |= {row.get("wholesale") for _, row in rows_of(document, "isp")}
    for name in by_network & tariffs.keys():
        place, row = tariffs[name]
        for at, version in rows_of(row, "version"):
            for nth, rate in rows_of(version, "rate"):
                if rate.get("measure") == "units":
                    path = ("tariff", place, "version", at, "rate", nth, "measure")
                    found.append(Finding(path, "the network counts no units"))
    for tariff, meters in units.items():
        place, row = tariffs[tariff]
        for at, version in rows_of(row, "version"):
            found += _version(version, ("tariff", place, "version", at), meters)
    return found


def _unit(text: object) -> str | None:
    try:
        return quantity_of(text).unit if isinstance(text, str) else None
    except ValueError:
        return None


def _version(
    version: Mapping[str, Any], path: KeyPath, meters: Mapping[str, str]
) -> Iterator[Finding]:
    first = next(iter(meters))
    for key, does in _NOBODY.items():
        if version.get(key):
            message = f"nobody {does} where the meter {first!r} counts"
            yield Finding((*path, key), message)
    for at, allowance in rows_of(version, "allowance"):
        if allowance.get("shared"):
            message = f"the meter {first!r} counts each service for itself"
            yield Finding((*path, "allowance", at, "shared"), message)
        if allowance.get("rollover"):
            message = f"nobody opens a period without use where {first!r} counts"
            yield Finding((*path, "allowance", at, "rollover"), message)
    rates = list(rows_of(version, "rate"))
    for at, rate in rates:
        for key, is_by_session in (
            ("counted", rate.get("counted") == "session"),
            ("connect_fee", str(rate.get("connect_fee", "")).strip("0.") != ""),
        ):
            if is_by_session:
                message = f"the meter {first!r} has no sessions"
                yield Finding((*path, "rate", at, key), message)
    for meter, unit in meters.items():
        wanted = _MEASURES[unit]
        if not any(rate.get("measure") in wanted for _, rate in rates):
            message = f"no rate is for {unit}, which the meter {meter!r} counts"
            yield Finding((*path, "rate"), message)
