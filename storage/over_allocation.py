"""The over-allocation in SQL: written from the journal's records, read at a start.

Records are applied in the journal's order, in the transaction that moves the journal's
position, so each is there once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Connection,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from ipserver.block import Block
from ipserver.loan import Loan
from ipserver.over_allocation_change import Change, Decided, PoolMemory, decode
from ipserver.over_allocation_request import Answer, Approval, Request
from ipserver.over_allocation_state import State
from storage.overallocation_tables import (
    address_block,
    address_loan,
    over_allocation_approval,
    over_allocation_command,
    over_allocation_decision,
    over_allocation_event,
    over_allocation_request,
    pool_memory,
)

Rows = list[dict[str, Any]]

_pack: Final = msgspec.msgpack.encode


def apply_bodies(connection: Connection, bodies: Iterable[bytes]) -> None:
    """Write the records of kind ``ipserver.over_allocation_change.KIND``, in order.

    Raises msgspec.DecodeError for a body that is none.
    """
    changes = [decode(body) for body in bodies]
    if not changes:
        return
    for table, key, rows in (
        (address_block, "first", _rows(changes, _blocks)),
        (over_allocation_request, "number", _rows(changes, _requests)),
        (address_loan, "number", _rows(changes, _loans)),
        (pool_memory, "pool", _rows(changes, _pools)),
    ):
        _replace(connection, table, key, rows)
    for table, rows in (
        (over_allocation_approval, _rows(changes, _approvals)),
        (over_allocation_decision, _rows(changes, _decisions)),
        (over_allocation_event, _rows(changes, _events)),
    ):
        if rows:
            connection.execute(insert(table), rows)
    applied = _rows(changes, _applied)
    if applied:
        connection.execute(
            update(over_allocation_command)
            .where(over_allocation_command.c.number == bindparam("which"))
            .values(
                result=bindparam("result"),
                message=bindparam("message"),
                object_number=bindparam("object_number"),
            ),
            applied,
        )


def _rows(
    changes: Sequence[Change], make: Callable[[Change], Iterable[dict[str, Any]]]
) -> Rows:
    return [row for change in changes for row in make(change)]


def _replace(connection: Connection, table: Table, key: str, rows: Rows) -> None:
    """Write each object as it was last: the others never were, for a reader."""
    latest = {row[key]: row for row in rows}
    if latest:
        which = [{"which": value} for value in latest]
        column = table.c[key]
        connection.execute(delete(table).where(column == bindparam("which")), which)
        connection.execute(insert(table), list(latest.values()))


def _blocks(change: Change) -> Rows:
    return [
        {
            "first": block.first,
            "last": block.last,
            "owner": block.owner,
            "holder": block.holder,
            "generation": block.generation,
            "state": block.state,
            "body": _pack(block),
        }
        for block in change.blocks
    ]


def _requests(change: Change) -> Rows:
    return [
        {
            "number": request.number,
            "tenant": request.tenant,
            "pool": request.pool,
            "state": request.state,
            "is_open": request.open,
            "urgent": request.urgent,
            "size": request.size,
            "granted": request.granted,
            "raised_at": request.raised_at,
            "raised_by": request.by,
            "since": request.since,
            "reason": request.reason,
            "retry_after": request.retry_after,
            "body": _pack(request),
        }
        for request in change.requests
    ]


def _loans(change: Change) -> Rows:
    columns = (
        *("number", "request", "first", "last", "lender", "borrower"),
        *("borrower_tenant", "state", "cause", "price", "made_at", "term_ends_at"),
        *("deadline", "ended_at", "outcome"),
    )
    return [
        {name: getattr(loan, name) for name in columns}
        | {"tenant": loan.lender_tenant, "body": _pack(loan)}
        for loan in change.loans
    ]


def _pools(change: Change) -> Rows:
    return [{"pool": memory.pool, "body": _pack(memory)} for memory in change.pools]


def _approvals(change: Change) -> Rows:
    return [
        {
            "request": word.request,
            "tenant": word.party,
            "actor": word.actor,
            "answer": word.answer,
            "blocks": word.blocks,
            "at": word.at,
            "policy": word.policy,
            "inputs": word.inputs,
            "reason": word.reason,
        }
        for word in change.approvals
    ]


def _decisions(change: Change) -> Rows:
    return [
        {
            "request": decided.request,
            "tenant": decided.snapshot.tenant,
            "at": decided.at,
            "outcome": decided.decision.outcome,
            "reason": decided.decision.reason,
            "inputs": decided.inputs,
            "policy": decided.policy,
            "body": _pack(decided),
        }
        for decided in change.decisions
    ]


def _events(change: Change) -> Rows:
    return [
        {
            "name": event.name,
            "subject": event.subject,
            "tenant": event.tenants[0],
            "tenants": list(event.tenants),
            "at": event.at,
            "detail": event.detail,
        }
        for event in change.events
    ]


def _applied(change: Change) -> Rows:
    return [
        {
            "which": applied.command,
            "result": applied.result,
            "message": applied.message,
            "object_number": applied.number,
        }
        for applied in change.applied
    ]


def load_state(connection: Connection) -> State:
    """Read what the address server starts from; the journal's tail comes after it."""
    request, loan = over_allocation_request.c, address_loan.c
    command = over_allocation_command.c
    blocks = connection.scalars(select(address_block.c.body))
    requests = connection.scalars(select(request.body).where(request.is_open))
    loans = connection.scalars(select(loan.body).where(loan.outcome == ""))
    pools = connection.scalars(select(pool_memory.c.body))
    state = State()
    state.apply(
        Change(
            0,
            blocks=unpacked(blocks, Block),
            requests=unpacked(requests, Request),
            loans=unpacked(loans, Loan),
            pools=unpacked(pools, PoolMemory),
        )
    )
    state.apply(Change(0, approvals=_open_approvals(connection)))
    done = select(func.max(command.number)).where(command.result.is_not(None))
    for name, query in (
        ("command", done),
        ("last_request", select(func.max(request.number))),
        ("last_loan", select(func.max(loan.number))),
    ):
        setattr(state, name, connection.execute(query).scalar() or 0)
    return state


def _open_approvals(connection: Connection) -> tuple[Approval, ...]:
    word, request = over_allocation_approval.c, over_allocation_request.c
    query = select(over_allocation_approval).join(
        over_allocation_request, word.request == request.number
    )
    rows = connection.execute(query.where(request.is_open).order_by(word.at))
    return tuple(approval_of(row) for row in rows.mappings())


def approval_of(row: Mapping[Any, Any]) -> Approval:
    """Read one party's word."""
    return Approval(
        request=row["request"],
        party=row["tenant"],
        actor=row["actor"],
        answer=Answer(row["answer"]),
        blocks=row["blocks"],
        at=row["at"],
        policy=row["policy"],
        inputs=row["inputs"],
        reason=row["reason"],
    )


def unpacked(bodies: Iterable[bytes], kind: type[Any]) -> tuple[Any, ...]:
    """Read objects as they were stored."""
    decoder = msgspec.msgpack.Decoder(kind)
    return tuple(decoder.decode(body) for body in bodies)


def decisions_of(connection: Connection, request: int) -> list[Decided]:
    """Read the decisions on a request, each with its inputs, the first first."""
    table = over_allocation_decision
    query = select(table.c.body).where(table.c.request == request).order_by(table.c.id)
    return list(unpacked(connection.scalars(query), Decided))
