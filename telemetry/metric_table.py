"""How metrics are made and listed: the registry, the table, and the page made of it.

Base units only (seconds, bytes), no label of a subscriber.  Across processes each
role writes into memory-mapped files of its own (``telemetry.multiprocess.attach``),
named by the role and not by its pid: a role that is restarted goes on counting where
the dead one stopped, and a crash loop leaves no files behind.  ``attach`` must run
before this module is imported, because the client chooses its storage when a metric is
made; the daemon's entry points see to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

Type = Literal["counter", "gauge", "histogram"]
_Mode = Literal["livemostrecent", "livesum", "max"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table, as the documentation shows it."""

    name: str
    type: Type
    help: str
    labels: tuple[str, ...]


TABLE: list[Metric] = []


def counter(name: str, text: str, *labels: str) -> Counter:
    """Make a counter, and list it."""
    TABLE.append(Metric(name, "counter", text, labels))
    return Counter(name, text, labels, registry=REGISTRY)


def gauge(name: str, mode: _Mode, text: str, *labels: str) -> Gauge:
    """Make a gauge; ``mode`` says what it is of the values of several processes."""
    TABLE.append(Metric(name, "gauge", text, labels))
    return Gauge(name, text, labels, registry=REGISTRY, multiprocess_mode=mode)


def histogram(
    name: str, buckets: tuple[float, ...], text: str, *labels: str
) -> Histogram:
    """Make a histogram with these upper ends of its buckets."""
    TABLE.append(Metric(name, "histogram", text, labels))
    return Histogram(name, text, labels, registry=REGISTRY, buckets=buckets)


def documentation() -> str:
    """Return docs/metrics.md: the table as a page."""
    rows = [
        f"| `{row.name}` | {row.type} | {_cell(row.labels)} | {row.help} |"
        for row in sorted(TABLE, key=lambda row: row.name)
    ]
    return "\n".join(
        [
            "# Metrics",
            "",
            "Made from `telemetry/metrics.py` by `python -m telemetry.metrics`; do not",
            "edit. Served at `/metrics` of the HTTP address, for all roles together.",
            "Seconds and records are the units; no label names a subscriber, and `nas`",
            "takes only the names in the network.",
            "",
            "| name | type | labels | what it says |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _cell(labels: tuple[str, ...]) -> str:
    return ", ".join(f"`{label}`" for label in labels)
