"""One object of the inventory created, changed or retired, as REST asks for it.

A change is a JSON merge patch (RFC 7396): what it does not name stays, null takes a
value away. It says which revision it was made from, so that nobody overwrites what he
has not seen. The Network Provider edits everything, and tells an ISP of what it did to
the ISP's; an ISP edits what it sells, its customers and their devices, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from config.checker import find_mistakes
from config.problems import Finding, KeyPath
from config.row import Body, redacted
from provisioning.refusal import Refusal
from services import inventory, inventory_rules
from services.actor import NETWORK, Actor
from services.provisioning import ObjectChange, Transaction
from storage.outbox import Event, publish

ISP_EDITS: Final = frozenset({"offering", "customer", "device"})
"""What an ISP may change; what else is its own, orders and contracts change."""

_BLOTTED: Final = "***"
_EVENTS: Final = {
    "add": "ResourceCreateEvent",
    "modify": "ResourceAttributeValueChangeEvent",
    "delete": "ResourceDeleteEvent",
}


class No(Enum):
    """Why nothing was done, where no place in the body is to blame."""

    NOT_FOUND = auto()
    NOT_ALLOWED = auto()
    NAME_TAKEN = auto()
    CHANGED_MEANWHILE = auto()


class Stored(NamedTuple):
    """One object, its secrets blotted out, and the number of its last change."""

    body: Body
    revision: int


class Edit(NamedTuple):
    """What is to become of one object.

    ``name`` and ``revision`` are None for one that is to be made; ``patch`` is None for
    one that is to go. ``reason`` is for the change log.
    """

    kind: str
    name: str | None
    patch: Mapping[str, Any] | None
    revision: int | None
    reason: str = ""


class Edited(NamedTuple):
    """What an edit did, or would do: the object before and after, secrets blotted out;
    ``revision`` is its new one, None when nothing was written."""

    before: Body | None
    after: Body | None
    revision: int | None


def find(
    connection: Connection, kind: str, name: str, tenant: str | None
) -> Stored | None:
    """Give one object; None when it is not there, or another tenant's."""
    body = inventory.find(connection, kind, name, tenant)
    if body is None:
        return None
    return Stored(redacted(body), inventory.revision(connection, kind, name))


def edit(
    transaction: Transaction,
    actor: Actor,
    asked: Edit,
    *,
    seal: Callable[[str, str, str], str],
    dry_run: bool = False,
) -> Edited | No | list[Refusal]:
    """Make, change or retire one object, or say why not.

    ``seal`` enciphers a password for an ISP's service (isp, service, password); with
    ``dry_run`` everything is checked and nothing written.
    """
    kind, connection = asked.kind, transaction.connection
    # Who names an ISP edits what is that ISP's, be he its own or acting for it.
    tenant = actor.isp if actor.tenant == NETWORK else actor.tenant
    if actor.tenant != NETWORK and kind not in ISP_EDITS:
        return No.NOT_ALLOWED if kind in inventory.OWNED_BY else No.NOT_FOUND
    before = None
    if asked.name is not None:
        before = inventory.find(connection, kind, asked.name, tenant)
        if before is None:
            return No.NOT_FOUND
        if asked.revision != inventory.revision(connection, kind, asked.name):
            return No.CHANGED_MEANWHILE
    after = None
    if asked.patch is not None:
        made = _patched(kind, before, asked.patch, tenant)
        if isinstance(made, list):
            return made
        after = made
    name = inventory.name_of(after or before or {})
    if after is not None and kind == "service" and "password" in after:
        after["password_sealed"] = seal(after["isp"], name, after.pop("password"))
        after.pop("password_hash", None)
    if before is None and _is_taken(connection, kind, name, after or {}):
        return No.NAME_TAKEN
    change = ObjectChange(kind, name, before, after)
    refusals = _refusals(transaction, actor, change)
    if refusals:
        return refusals
    number = None
    if not dry_run and before != after:
        inventory.take(transaction, actor, kind, [change], asked.reason)
        _tell(transaction, actor, change)
        transaction.flush()
        number = inventory.revision(connection, kind, name)
    elif not dry_run:
        number = asked.revision
    return Edited(_shown(before), _shown(after), number)


def _shown(body: Body | None) -> Body | None:
    return None if body is None else redacted(body)


def _patched(
    kind: str, before: Body | None, patch: Mapping[str, Any], tenant: str | None
) -> Body | list[Refusal]:
    """Merge a patch into an object, and check that it still is one of its kind."""
    body = dict(before or {})
    owner = inventory.OWNED_BY.get(kind)
    if before is None and tenant is not None and owner not in (None, "name"):
        body[owner] = tenant
    for key, value in patch.items():
        if value is None:
            body.pop(key, None)
        elif value != _BLOTTED:
            body[key] = value
    wrong = find_mistakes(inventory.structure(kind), body)
    if wrong:
        return [_refusal(one) for one in wrong]
    after = inventory.plain(kind, body)
    if before is not None and inventory.name_of(after) != inventory.name_of(before):
        return [Refusal("name_fixed", "/name", "a name is what others refer to")]
    if tenant is not None and inventory.owner_of(kind, after) != tenant:
        reason = f"this is for what is {tenant!r}'s"
        return [Refusal("not_the_tenant_s", f"/{owner or 'name'}", reason)]
    if before is not None and inventory.key_of(kind, after) != inventory.key_of(
        kind, before
    ):
        return [Refusal("owner_fixed", f"/{owner}", "make another for its new owner")]
    return after


def _refusal(finding: Finding) -> Refusal:
    codes = {"unknown key": "unknown_field", "missing": "missing"}
    code = codes.get(finding.message, "invalid_value")
    hint = f" (did you mean {finding.nearest!r}?)" if finding.nearest else ""
    return Refusal(code, _pointer(finding.path), finding.message + hint)


def _pointer(path: KeyPath) -> str:
    steps = (str(one).replace("~", "~0").replace("/", "~1") for one in path)
    return "".join(f"/{step}" for step in steps)


def _is_taken(connection: Connection, kind: str, name: str, body: Body) -> bool:
    tenant = body["tenant"] if kind == "customer" else None
    return inventory.find(connection, kind, name, tenant) is not None


def _refusals(
    transaction: Transaction, actor: Actor, change: ObjectChange
) -> list[Refusal]:
    """Say what the change would break; of others' objects an ISP is told nothing."""
    found = []
    for about, finding in inventory_rules.conflicts(transaction, [change]):
        if about is not None:
            pointer = _pointer(finding.path)
            found.append(Refusal("conflict", pointer, finding.message))
        elif change.after is None:
            reason = f"{finding.message}: it is still used"
            found.append(Refusal("still_used", "", reason))
        else:
            place = "" if not finding.path else f"{_pointer(finding.path)[1:]}: "
            found.append(Refusal("conflict", "", f"{place}{finding.message}"))
    if actor.tenant != NETWORK:
        found = [
            one if one.pointer else one._replace(reason="something else relies on it")
            for one in found
        ]
    return found


def _tell(transaction: Transaction, actor: Actor, change: ObjectChange) -> None:
    """Tell a tenant what the Network Provider's staff did to what is the tenant's."""
    body = change.after or change.before or {}
    owner = inventory.owner_of(change.kind, body)
    if actor.tenant != NETWORK or owner == NETWORK:
        return
    told = {"kind": change.kind, "name": change.name, "changedBy": actor.name}
    event = Event(owner, _EVENTS[change.action], change.name, None, told)
    publish(transaction.connection, [event], transaction.now)
