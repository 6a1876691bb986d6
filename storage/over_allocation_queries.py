"""Requests and loans as people and programs read them; names and values stay.

``tenant`` None reads all, for the Network Provider; else an ISP's own: its requests and
those that want or have its word, the loans that it is a party of.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from netaddr import IPAddress, iprange_to_cidrs
from sqlalchemy import Connection, Row, Select, or_, select

from ipserver.over_allocation_request import Request
from storage.over_allocation import approval_of, decisions_of, unpacked
from storage.overallocation_tables import (
    address_loan,
    over_allocation_approval,
    over_allocation_request,
)

REQUEST_COLUMNS: Final = (
    *("number", "tenant", "pool", "state", "size", "granted", "urgent"),
    *("raised_at", "raised_by", "since", "reason", "retry_after"),
)
LOAN_COLUMNS: Final = (
    *("number", "addresses", "lender", "borrower", "state", "cause", "made_at"),
    *("term_ends_at", "deadline", "ended_at", "outcome", "request"),
)


def list_requests(
    connection: Connection,
    *,
    tenant: str | None = None,
    pool: str | None = None,
    state: str | None = None,
    open_only: bool = False,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """List requests, the newest last; with a limit, the newest."""
    request = over_allocation_request.c
    query = select(over_allocation_request)
    if pool is not None:
        query = query.where(request.pool == pool)
    if state is not None:
        query = query.where(request.state == state)
    if open_only:
        query = query.where(request.is_open)
    words = over_allocation_approval.c
    said = select(words.request).where(words.tenant == tenant)
    spoken = set(connection.scalars(said)) if tenant is not None else set()
    for row in _newest(connection, query, request.number, limit):
        found = _request(row)
        parties = {row.tenant, *found["parties"]}
        if tenant is None or tenant in parties or row.number in spoken:
            yield found


def show_request(
    connection: Connection, number: int, *, tenant: str | None = None
) -> dict[str, Any] | None:
    """Show a request with its parties' words and its decisions, inputs and all."""
    query = select(over_allocation_request)
    row = connection.execute(
        query.where(over_allocation_request.c.number == number)
    ).one_or_none()
    if row is None:
        return None
    found = _request(row)
    words = over_allocation_approval
    said = connection.execute(
        select(words)
        .where(words.c.request == number)
        .order_by(words.c.at, words.c.tenant)
    )
    approvals = [approval_of(word) for word in said.mappings()]
    parties = {row.tenant, *found["parties"], *(word.party for word in approvals)}
    if tenant is not None and tenant not in parties:
        return None
    found["approvals"] = [
        {
            "party": word.party,
            "actor": word.actor,
            "answer": word.answer,
            "blocks": word.blocks,
            "reason": word.reason,
            "at": _time(word.at),
            "policy": word.policy,
            "inputs": word.inputs,
        }
        for word in approvals
    ]
    if tenant is None or tenant == row.tenant:
        # What others own and lend is in the inputs: not for every party's eyes.
        found["decisions"] = [
            {
                "at": _time(decided.at),
                "outcome": decided.decision.outcome,
                "reason": decided.decision.reason,
                "inputs": decided.inputs,
                "policy": decided.policy,
            }
            | ({"snapshot": _fields(decided.snapshot)} if tenant is None else {})
            for decided in decisions_of(connection, number)
        ]
    return found


def list_loans(
    connection: Connection,
    *,
    tenant: str | None = None,
    open_only: bool = False,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """List loans, the newest last; with a limit, the newest."""
    loan = address_loan.c
    query = select(address_loan)
    if tenant is not None:
        query = query.where(or_(loan.tenant == tenant, loan.borrower_tenant == tenant))
    if open_only:
        query = query.where(loan.outcome == "")
    for row in _newest(connection, query, loan.number, limit):
        yield {
            "number": row.number,
            "addresses": _prefix(row.first, row.last),
            "size": row.last - row.first + 1,
            "lender": row.lender,
            "lender_tenant": row.tenant,
            "borrower": row.borrower,
            "borrower_tenant": row.borrower_tenant,
            "state": row.state,
            "cause": row.cause,
            "price": row.price,
            "made_at": _time(row.made_at),
            "term_ends_at": _time(row.term_ends_at),
            "deadline": _time(row.deadline),
            "ended_at": _time(row.ended_at),
            "outcome": row.outcome,
            "request": row.request,
        }


def _newest(
    connection: Connection, query: Select[Any], key: Any, limit: int | None
) -> Iterator[Row[Any]]:
    if limit is None:
        yield from connection.execute(query.order_by(key))
    else:
        newest = connection.execute(query.order_by(key.desc()).limit(limit)).all()
        yield from reversed(newest)


def _request(row: Row[Any]) -> dict[str, Any]:
    (request,) = unpacked([row.body], Request)
    parties = {party for option in request.options for party in option.parties}
    return {
        "number": row.number,
        "tenant": row.tenant,
        "pool": row.pool,
        "state": row.state,
        "size": row.size,
        "granted": row.granted,
        "urgent": row.urgent,
        "raised_at": _time(row.raised_at),
        "raised_by": row.raised_by,
        "since": _time(row.since),
        "reason": row.reason,
        "retry_after": row.retry_after,
        "parties": sorted(parties),
        "options": [_fields(option) for option in request.options],
        "blocks": [str(IPAddress(first, 4)) for first in request.blocks],
        "justification": request.justification,
    }


def _fields(struct: Any) -> dict[str, Any]:
    """Name the values of a struct that travels as an array."""
    return {
        name: _value(getattr(struct, name)) for name in type(struct).__struct_fields__
    }


def _value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_value(each) for each in value]
    return _fields(value) if hasattr(type(value), "__struct_fields__") else value


def _prefix(first: int, last: int) -> str:
    ends = IPAddress(first, 4), IPAddress(last, 4)
    return ",".join(str(prefix) for prefix in iprange_to_cidrs(*ends))


def _time(seconds: int) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None
