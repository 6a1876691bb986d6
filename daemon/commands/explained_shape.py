"""What is behind a percentile, a peak or loans, as ``fairlane explain`` shows it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from config.moment import moment
from daemon.commands.amounts import decimal_of
from daemon.commands.explained_usage import (
    packet_line,
    packet_object,
    plain,
    usage_line,
)
from rating.posting import Line
from rating.samples import SAMPLE_SECONDS
from services.shape_explained import Lent, Percentile, Shape, Together

_MEASURED = {"in": "in", "out": "out", "sum": "in and out together"}


def shape_lines(shape: Shape, line: Line, currency: str) -> Iterator[str]:
    """Give the lines of a terminal, for a charge in a currency."""
    if shape.percentile is not None:
        yield from _percentile(shape.percentile)
    if shape.together is not None:
        yield from _together(shape.together)
    if line.unit == "address_seconds":
        yield from _loans(shape)
    if shape.has_changed:
        yield (
            f"changed: by what is kept now it is {shape.quantity} {line.unit},"
            f" {decimal_of(shape.amount)} {currency}: it came, or was corrected, after"
            f" {line.quantity} were charged"
        )


def _percentile(found: Percentile) -> Iterator[str]:
    yield "Samples"
    yield (
        f"  {found.samples} of {SAMPLE_SECONDS} s, {found.discarded} of them above the"
        f" {found.percent}th percentile, which is {found.bits_per_second} bits per"
        f" second {_MEASURED[found.measured]}"
    )
    for sample in reversed(found.shown):
        mark = "  <- the percentile" if sample == found.decisive else ""
        rate = f"{sample.octets * 8 // SAMPLE_SECONDS} bit/s"
        octets = f"{sample.input_octets} octets in, {sample.output_octets} out"
        at = moment(sample.started_at)
        yield f"  {sample.rank}. {at}: {octets}, {rate}{mark}"
    if len(found.shown) < found.samples:
        yield "  --all shows every sample in which something was used"
    if found.decisive is None:
        yield "  the percentile is a sample in which nothing was used"
        return
    yield (
        f"Usage in the sample of {moment(found.decisive.started_at)}:"
        f" {found.records_in_all} records, the largest of which are"
    )
    for used, share, packets in found.records:
        yield f"  record {used['id']}: {share} octets of {usage_line(used)}"
        who = used["user_name"] or used["service"] or "-"
        yield f"    session {used['acct_session_id']} of {used['nas']}, {who}"
        yield from (f"    {packet_line(packet)}" for packet in packets)


def _together(found: Together) -> Iterator[str]:
    yield "Sessions"
    count, since, until = found.peak
    if not count:
        yield "  none was open"
        return
    yield f"  {count} together, first from {moment(since)} until {moment(until)}"
    for row in found.sessions:
        who = row["user_name"] or row["service"] or "-"
        span = f"{moment(row['started_at'])} to {moment(row['last_seen_at'])}"
        yield f"  {row['acct_session_id']} of {row['nas']}, {who}: {span}"
    if len(found.sessions) < count:
        yield f"  and {count - len(found.sessions)} more: --all shows them"


def _loans(shape: Shape) -> Iterator[str]:
    yield "Loans"
    for loan in shape.loans:
        span = f"{moment(loan.lent_at)} to {moment(loan.returned_at)}"
        count = loan.last - loan.first + 1
        block = f"{IPv4Address(loan.first)} to {IPv4Address(loan.last)}"
        yield (
            f"  loan {loan.number}: {block} ({count}), {loan.owner} to"
            f" {loan.borrower}, {span}: {loan.address_seconds} address_seconds,"
            f" {decimal_of(loan.address_seconds * 1_000_000 // 3600)} address-hours"
        )
    if len(shape.loans) < shape.loans_in_all:
        more = shape.loans_in_all - len(shape.loans)
        yield f"  and {more} more: --all shows them"


def shape_object(shape: Shape) -> dict[str, Any]:
    """Give the same as JSON has it; amounts are decimals."""
    percentile, together = shape.percentile, shape.together
    return {
        "quantity_now": shape.quantity,
        "amount_now": decimal_of(shape.amount),
        "has_changed": shape.has_changed,
        "percentile": percentile and _percentile_object(percentile),
        "peak": together
        and {**together.peak._asdict(), "open": [plain(s) for s in together.sessions]},
        "loans": [_loan_object(loan) for loan in shape.loans],
        "loans_in_all": shape.loans_in_all,
    }


def _percentile_object(found: Percentile) -> dict[str, Any]:
    return {
        **found._asdict(),
        "decisive": found.decisive and found.decisive._asdict(),
        "shown": [sample._asdict() for sample in found.shown],
        "records": [
            {
                **(plain(behind.usage) or {}),
                "octets_in_sample": behind.octets,
                "packets": [packet_object(packet) for packet in behind.packets],
            }
            for behind in found.records
        ],
    }


def _loan_object(loan: Lent) -> dict[str, Any]:
    ends = {name: str(IPv4Address(getattr(loan, name))) for name in ("first", "last")}
    return loan._asdict() | ends
