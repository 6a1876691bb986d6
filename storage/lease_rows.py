"""A binding as the journal has it and as the database has it: one to the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from ipserver.reasons import Reason
from ipserver.records import Bound, BoundColumns, Ended, Excess, placed
from storage.lease_tables import HISTORY_COLUMNS, LEASE_COLUMNS

_AT: Final = {name: place for place, name in enumerate(LEASE_COLUMNS)}
EXTENDED, EXPIRES = _AT["extended_at"], _AT["expires_at"]
ENDED, REASON = _AT["ended_at"], _AT["end_reason"]
_HISTORY: Final = tuple(_AT[name] for name in HISTORY_COLUMNS)
NETWORK: Final = "network"


def lease_row(entry: Bound) -> tuple[Any, ...]:
    """Make the row of a new binding, in the order of LEASE_COLUMNS."""
    return (
        entry.address,
        entry.pool,
        entry.line,
        entry.service or None,
        entry.isp or None,
        entry.owner,
        entry.borrower or None,
        entry.generation,
        entry.kind,
        entry.hardware,
        entry.client_id,
        entry.agent,
        entry.at,
        entry.at,
        entry.expires,
        None,
        None,
        entry.isp or NETWORK,
    )


def lease_rows(bindings: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Make the same of many, as ``record_columns.whole`` reads them."""
    rows = []
    for at, expires, address, generation, kind, where, line, *of_client in bindings:
        service, hardware, client_id, agent = of_client
        pool, isp, owner, borrower = placed(where)
        rows.append(
            (
                address,
                pool,
                line.decode(),
                service.decode() or None,
                isp or None,
                owner,
                borrower or None,
                generation,
                kind,
                hardware,
                client_id,
                agent,
                at,
                at,
                expires,
                None,
                None,
                isp or NETWORK,
            )
        )
    return rows


def columns_of(rows: Sequence[Sequence[Any]]) -> tuple[BoundColumns, list[Ended]]:
    """Make the bindings that rows of RESTORED_COLUMNS keep, as if each had begun when
    it was extended, and the ends of those that were ended."""
    return restored(*zip(*rows, strict=True))


def restored(
    addresses: Sequence[int],
    kinds: Sequence[int],
    lines: Sequence[str],
    hardware: Sequence[bytes],
    client_ids: Sequence[bytes],
    agents: Sequence[bytes],
    extended: Sequence[int],
    expires: Sequence[int],
    ended: Sequence[int | None],
    reasons: Sequence[str],
) -> tuple[BoundColumns, list[Ended]]:
    """Make the same of columns; ``ended`` may be empty when none was."""
    ends = []
    if any(ended):
        expires = tuple(map(_end, expires, ended))
        ends = [
            Ended(end, address, Reason(reason))
            for address, end, reason in zip(addresses, ended, reasons, strict=True)
            if end is not None
        ]
    bound = BoundColumns(
        extended, expires, addresses, kinds, lines, hardware, client_ids, agents
    )
    return bound, ends


def _end(expires: int, ended: int | None) -> int:
    return expires if ended is None else ended


def history_row(row: Sequence[Any]) -> tuple[Any, ...]:
    """Make the history of a lease's row that has ended."""
    return tuple(row[place] for place in _HISTORY)


def sale_row(entry: Excess) -> tuple[Any, ...]:
    """Make the row of an address beyond a service, in the order of SALE_COLUMNS."""
    kind = "grace" if entry.grace_until and not entry.price_micro else "sale"
    return (
        entry.at,
        kind,
        month_text(entry.month),
        entry.line,
        entry.service,
        entry.isp,
        entry.address,
        entry.price_micro,
        entry.sold,
        entry.micro,
        entry.grace_until,
        entry.isp or NETWORK,
    )


def excess_of(row: Sequence[Any]) -> Excess:
    """Make what a row of SALE_COLUMNS says."""
    at, _, month, line, service, isp, address, price, sold, spent, grace, _ = row
    year, _, number = month.partition("-")
    months = int(year) * 12 + int(number) - 1
    return Excess(*(at, address, months, sold, price, spent, grace, line, service, isp))


def month_text(month: int) -> str:
    """Write the number of a month as 2026-11."""
    return f"{month // 12:04}-{month % 12 + 1:02}"
