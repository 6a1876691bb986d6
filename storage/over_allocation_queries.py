"""Requests and loans as people and programs read them; names and values stay.

``tenant`` None reads all, for the Network Provider; else an ISP's own: its requests and
those that want or have its word, the open loans of the pools that it has now, and those
that are over to which it had agreed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

from netaddr import IPAddress, iprange_to_cidrs
from sqlalchemy import Connection, Row, Select, or_, select

from config.moment import moment
from ipserver.block import Block
from ipserver.loan import Loan
from ipserver.over_allocation_request import Request
from storage.over_allocation import approval_of, decisions_of, unpacked
from storage.overallocation_tables import (
    address_block,
    address_loan,
    over_allocation_approval,
    over_allocation_request,
)
from storage.pool_owners import PoolOwners

_PAGE: Final = 256
"""Rows read at once: a limit may be met by the first of many."""

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
    spoken: set[int] = set()
    if tenant is not None:
        words = over_allocation_approval.c
        said = select(words.request).where(words.tenant == tenant)
        spoken = set(connection.scalars(said))
        # Who is asked is a party while it waits.
        had_word = request.number.in_(said)
        query = query.where(or_(request.tenant == tenant, request.is_open, had_word))

    def seen(found: dict[str, Any]) -> bool:
        parties = {found["tenant"], *found["parties"]}
        return tenant is None or tenant in parties or found["number"] in spoken

    def shown(row: Row[Any]) -> dict[str, Any]:
        return _request(row, tenant)

    yield from _newest(connection, query, request.number, limit, shown, seen)


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
    found = _request(row, tenant)
    words = over_allocation_approval
    said = connection.execute(
        select(words)
        .where(words.c.request == number)
        .order_by(words.c.at, words.c.tenant)
    )
    approvals = [approval_of(word) for word in said.mappings()]
    if tenant is not None:
        parties = {row.tenant, *found["parties"], *(word.party for word in approvals)}
        if not row.is_open:
            # Who was asked learns that it is over.
            parties |= _asked(connection, number)
        if tenant not in parties:
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
        if tenant in (None, row.tenant, word.party)
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
    number: int | None = None,
    open_only: bool = False,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """List loans, the newest last; with a limit, the newest.

    ``lender_tenant`` and ``borrower_tenant`` agreed to a loan; ``owner`` and ``holder``
    have its pools now, while it is open.
    """
    loan = address_loan.c
    block = address_block.c
    query = select(address_loan, block.body.label("block")).join(
        address_block, loan.first == block.first, isouter=True
    )
    is_open = loan.outcome == ""
    if tenant is not None:
        agreed = or_(loan.tenant == tenant, loan.borrower_tenant == tenant)
        query = query.where(or_(is_open, agreed))
    if number is not None:
        query = query.where(loan.number == number)
    if open_only:
        query = query.where(is_open)
    owners = PoolOwners(connection)

    def shown(row: Row[Any]) -> dict[str, Any]:
        return _loan(row, owners)

    def seen(found: dict[str, Any]) -> bool:
        now = ("owner", "holder")
        names = ("lender_tenant", "borrower_tenant") if found["outcome"] else now
        return tenant is None or tenant in (found[name] for name in names)

    yield from _newest(connection, query, loan.number, limit, shown, seen)


def _loan(row: Row[Any], owners: PoolOwners) -> dict[str, Any]:
    owner = holder = None
    if not row.outcome:
        (loan,) = unpacked([row.body], Loan)
        (block,) = unpacked([row.block], Block) if row.block is not None else (None,)
        owner, holder = owners.of_loan(loan, block)
    return {
        "number": row.number,
        "addresses": _prefix(row.first, row.last),
        "size": row.last - row.first + 1,
        "lender": row.lender,
        "lender_tenant": row.tenant,
        "owner": owner,
        "borrower": row.borrower,
        "borrower_tenant": row.borrower_tenant,
        "holder": holder,
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
    connection: Connection,
    query: Select[Any],
    key: Any,
    limit: int | None,
    show: Callable[[Row[Any]], dict[str, Any]],
    seen: Callable[[dict[str, Any]], bool],
) -> Iterator[dict[str, Any]]:
    order = key if limit is None else key.desc()
    paged = query.order_by(order).execution_options(yield_per=_PAGE)
    with connection.execute(paged) as rows:
        found = filter(seen, map(show, rows))
        yield from found if limit is None else reversed(list(islice(found, limit)))


def _asked(connection: Connection, number: int) -> set[str]:
    """Name who was asked for a word of a request."""
    decided = decisions_of(connection, number)
    options = (option for each in decided for option in each.decision.options)
    return {party for option in options for party in option.parties}


def _request(row: Row[Any], tenant: str | None) -> dict[str, Any]:
    """Show a request; to who is asked, nothing of the others that are."""
    (request,) = unpacked([row.body], Request)
    options, blocks = request.options, request.blocks
    if tenant not in (None, row.tenant):
        options = tuple(option for option in options if tenant in option.parties)
        chosen = request.chosen
        blocks = blocks if chosen is not None and tenant in chosen.parties else ()
    parties = {party for option in options for party in option.parties}
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
        "options": [_fields(option) for option in options],
        "blocks": [str(IPAddress(first, 4)) for first in blocks],
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
    return moment(seconds) if seconds else None
