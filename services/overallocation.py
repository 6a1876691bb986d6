"""Over-allocation requests and loans as parties see and steer them.

A command is put into the inbox of the address server, which owns the blocks and applies
it once; what came of it is there a moment later. ``tenant`` is always who
authenticated: an ISP, or ``network`` for the Network Provider.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from ipserver.decision import NETWORK
from ipserver.over_allocation_command import Action
from storage import over_allocation_inbox as inbox
from storage import over_allocation_queries as queries

CLIENT_KEY_MAX: Final = 128
REASON_MAX: Final = 500
SIZE_MAX: Final = 1 << 24
UNKNOWN: Final = "unknown"
"""Code of a refusal: there is no such object, or none that this tenant may see."""


class CommandRefusedError(Exception):
    """The command is not taken; ``code`` is stable, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Sent(NamedTuple):
    """A command that was taken. ``result`` is None until it was applied, then ``done``
    or a stable code; ``object_number`` is the request's or loan's.
    """

    number: int
    result: str | None
    message: str
    object_number: int


def raise_request(
    connection: Connection,
    *,
    tenant: str,
    actor: str,
    client_key: str,
    pool: str,
    size: int,
    reason: str,
    now: int,
) -> Sent:
    """Ask for more addresses for a pool; ``size`` 0 asks for what is needed."""
    if not 0 <= size <= SIZE_MAX:
        raise CommandRefusedError("bad_size", f"size must be 0 to {SIZE_MAX}")
    body = {"pool": pool, "size": size}
    return _send(
        connection,
        (tenant, actor, client_key),
        Action.RAISE,
        body,
        reason,
        now,
    )


def decide_request(
    connection: Connection,
    *,
    tenant: str,
    actor: str,
    client_key: str,
    action: Action,
    request: int,
    blocks: int = 0,
    reason: str = "",
    now: int,
) -> Sent:
    """Approve a request, in part with ``blocks``, or deny or cancel it."""
    if action not in _ON_REQUESTS:
        raise CommandRefusedError("bad_action", f"a request cannot be {action}")
    if (action is Action.PARTIAL) != (blocks > 0):
        raise CommandRefusedError("bad_blocks", "a part is at least one block")
    body = {"target": request, "blocks": blocks}
    return _send(connection, (tenant, actor, client_key), action, body, reason, now)


def steer_loan(
    connection: Connection,
    *,
    tenant: str,
    actor: str,
    client_key: str,
    action: Action,
    loan: int,
    reason: str = "",
    now: int,
) -> Sent:
    """Recall, return, extend or convert a loan."""
    if action not in _ON_LOANS:
        raise CommandRefusedError("bad_action", f"a loan cannot be {action}")
    return _send(
        connection, (tenant, actor, client_key), action, {"target": loan}, reason, now
    )


_ON_REQUESTS: Final = (Action.APPROVE, Action.PARTIAL, Action.DENY, Action.CANCEL)
_ON_LOANS: Final = (Action.RECALL, Action.RETURN, Action.EXTEND, Action.CONVERT)


def _is_shown(connection: Connection, tenant: str, action: Action, number: int) -> bool:
    """Say whether a tenant is shown what its command is for. The Network Provider may
    know of it from the address server, before it is stored.
    """
    if tenant == NETWORK:
        return True
    if action in _ON_LOANS:
        return any(queries.list_loans(connection, tenant=tenant, number=number))
    return queries.show_request(connection, number, tenant=tenant) is not None


def _send(
    connection: Connection,
    who: tuple[str, str, str],
    action: Action,
    body: dict[str, Any],
    reason: str,
    now: int,
) -> Sent:
    tenant, actor, client_key = who
    if not 0 < len(client_key) <= CLIENT_KEY_MAX:
        message = f"the client's key must have 1 to {CLIENT_KEY_MAX} characters"
        raise CommandRefusedError("bad_client_key", message)
    if len(reason) > REASON_MAX:
        message = f"the reason has more than {REASON_MAX} characters"
        raise CommandRefusedError("bad_reason", message)
    number = body.get("target")
    if number is not None and not _is_shown(connection, tenant, action, number):
        kind = "loan" if action in _ON_LOANS else "request"
        raise CommandRefusedError(UNKNOWN, f"there is no {kind} {number}")
    body |= {"reason": reason}
    put = inbox.put(
        connection,
        tenant=tenant,
        actor=actor,
        client_key=client_key,
        action=action,
        body=body,
        now=now,
    )
    if (put.action, put.body) != (action, body):
        message = f"the key {client_key!r} belongs to another command"
        raise CommandRefusedError("client_key_reused", message)
    return _sent(put)


def outcome(connection: Connection, *, tenant: str, number: int) -> Sent | None:
    """Look what came of a command of the tenant."""
    put = inbox.find(connection, tenant, number)
    return None if put is None else _sent(put)


def _sent(put: inbox.Put) -> Sent:
    return Sent(put.number, put.result, put.message, put.object_number)


def requests(
    connection: Connection,
    *,
    tenant: str,
    pool: str | None = None,
    state: str | None = None,
    open_only: bool = False,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """List the requests that a tenant may see, the newest last."""
    return list(
        queries.list_requests(
            connection,
            tenant=_scope(tenant),
            pool=pool,
            state=state,
            open_only=open_only,
            limit=limit,
        )
    )


def request(
    connection: Connection, *, tenant: str, number: int
) -> dict[str, Any] | None:
    """Show one request with its words and decisions; None when there is none to see."""
    return queries.show_request(connection, number, tenant=_scope(tenant))


def loans(
    connection: Connection,
    *,
    tenant: str,
    open_only: bool = False,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """List the loans that a tenant is shown, the newest last."""
    found = queries.list_loans(
        connection, tenant=_scope(tenant), open_only=open_only, limit=limit
    )
    return list(found)


def _scope(tenant: str) -> str | None:
    return None if tenant == NETWORK else tenant
