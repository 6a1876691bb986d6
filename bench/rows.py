"""What the rows of the accounting benchmark share: a plan, a load, a report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.fairlane_daemon import SECRET, FairlaneDaemon
from bench.freeradius_peer import Records
from bench.load.packets import AccountingPackets, Pass
from bench.radius_load import LoadResult, RadiusLoad, passes

__all__ = ["Plan", "Report", "interims", "load_of", "remark"]

_TARGETS = {
    "answered, durable, one receiver": "75,000/s",
    "through to usage rows in SQLite": "30,000/s",
    "through to usage rows in PostgreSQL": "30,000/s",
    "through to ledger rows in SQLite": "25,000/s",
    "through to ledger rows in PostgreSQL": "25,000/s",
    "p99 at half of the answered rate": "20 ms",
    "p99 at half of the rate to SQLite": "20 ms",
    "p99 at half of the rate to PostgreSQL": "20 ms",
    "memory of an open session": "1,536 B",
    "first answer after SIGTERM": "10 s",
    "first answer after SIGKILL": "10 s",
}


@dataclass(slots=True)
class Report:
    """The rows measured so far: name to figure, unit and a remark."""

    rows: list[tuple[str, float, str, str]] = field(default_factory=list)

    def add(self, name: str, figure: float, unit: str, remark: str = "") -> None:
        """Take one row and show it at once."""
        self.rows.append((name, figure, unit, remark))
        print(f"  {name}: {figure:,.2f} {unit}  {remark}", flush=True)

    def figure(self, name: str) -> float:
        """The figure of a row; 0 when it was not measured."""
        return next((row[1] for row in self.rows if row[0] == name), 0.0)

    def table(self) -> str:
        """All rows, with what is to be reached."""
        lines = [f"{'':44}{'measured':>14} {'':8}{'reach':>10}"]
        for name, figure, unit, remark in self.rows:
            shown = f"{figure:,.0f}" if figure >= 100 else f"{figure:,.2f}"
            reach = _TARGETS.get(name, "")
            lines.append(f"{name:44}{shown:>14} {unit:8}{reach:>10}  {remark}".rstrip())
        return "\n".join(lines)

    def ratios(self) -> str:
        """Fairlane's rates by each of the peer's."""
        lines = []
        for ours in (
            "answered, durable, one receiver",
            "through to usage rows in SQLite",
            "through to usage rows in PostgreSQL",
            "through to ledger rows in SQLite",
            "through to ledger rows in PostgreSQL",
        ):
            for records in Records:
                theirs = self.figure(f"FreeRADIUS, {records.value}")
                if theirs and self.figure(ours):
                    ratio = self.figure(ours) / theirs
                    lines.append(f"{ours} / FreeRADIUS, {records.value}: {ratio:.1f}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure, and for how long."""

    seconds: float
    load_sessions: int
    open_sessions: int
    sustained_rate: float
    sources: int
    window: int
    verify_every: int
    folder: Path


def remark(result: LoadResult) -> str:
    """Say what became of a load's packets."""
    return (
        f"p50 {result.p50_seconds * 1e3:.2f} ms, p99 {result.p99_seconds * 1e3:.2f} ms,"
        f" {result.acknowledged:,} answered, {result.retransmissions:,} sent again,"
        f" {result.lost:,} lost"
    )


def load_of(plan: Plan, daemon: FairlaneDaemon, sessions: int) -> RadiusLoad:
    """Make the load for a daemon, of so many sessions."""
    return RadiusLoad(
        daemon.address,
        AccountingPackets(secret=SECRET.encode()),
        sessions=sessions,
        sources=plan.sources,
        window=plan.window,
        verify_every=plan.verify_every,
    )


def interims(first: int) -> Iterator[Pass]:
    """Give rounds of Interim-Updates for ever, from one on."""
    return passes(["interims"], first=first)
