"""Doing and undoing the tasks that are ours: in the transaction of the order itself.

Each looks at what there is first, so doing it again changes nothing. What is asked of
others (devices, ISPs, BSPs) is not done here: the manager asks, outside of any
transaction, and settles the task with the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from config.offers import Service
from provisioning.order import Item, Order
from provisioning.order_rules import Wanted
from provisioning.order_states import Action
from provisioning.outcomes import Done, Later, Outcome
from provisioning.task_graph import POLICIES, Kind, Task
from services.actor import Actor
from services.provisioning import ObjectChange, Transaction
from services.service_signs import is_seen, is_seen_moved
from storage import holds, outbox
from storage.outbox import Event
from storage.service_records import LiveSessions, ServiceRecords

_LINE_SECONDS: Final = (60, 3600)
_PROOF_SECONDS: Final = (1, 300)


class Coa(Protocol):
    """Tells the NAS of a service's sessions, durably, once the transaction commits."""

    def change(self, transaction: Transaction, service: Service, by: str) -> None:
        """Bring the sessions to what the service is entitled to now."""

    def disconnect(
        self,
        transaction: Transaction,
        service: Service,
        by: str,
        line: str | None = None,
    ) -> None:
        """End the sessions, or those on one line; the service is still in the network
        when this is asked."""


class Rating(Protocol):
    """Opens and closes the subscription of a service; saying no is an outcome."""

    def look_ahead(self, transaction: Transaction, services: Sequence[str]) -> None:
        """Read together what is open of these services; they may be asked for next."""

    def open(self, transaction: Transaction, service: Service) -> Outcome:
        """Make sure that the service's use is charged from now on."""

    def close(self, transaction: Transaction, service: Service) -> Outcome:
        """End it, at the transaction's time."""


class Ports(NamedTuple):
    """What the tasks that are ours need of access and of rating."""

    coa: Coa
    rating: Rating


class Work(NamedTuple):
    """One task to be done or undone, with all that it is about."""

    transaction: Transaction
    ports: Ports
    order: Order
    item: Item
    task: Task

    @property
    def wanted(self) -> Wanted:
        """What the item wants; an accepted one always says."""
        assert self.item.wanted is not None
        return self.item.wanted

    @property
    def owner(self) -> str:
        """Whose the item's holds are."""
        return f"{self.order.id}/{self.item.number}"

    @property
    def actor(self) -> Actor:
        """Who is written into the change log."""
        order = self.order
        return Actor(order.actor, order.tenant, order.channel, order.on_behalf)

    def change(self, name: str, body: Mapping[str, Any] | None) -> None:
        """Write one service as an object of the network, or take it away."""
        before = self.transaction.inventory.service.get(name)
        if before is None and body is None:
            return
        was = None if before is None else msgspec.to_builtins(before)
        if was != body:
            change = ObjectChange("service", name, was, body)
            reason = f"order {self.order.id}"
            self.transaction.change(self.actor, [change], reason, self.order.tenant)


Adapter = Callable[[Work], Outcome]


def _line(work: Work) -> Outcome:
    transaction, wanted = work.transaction, work.wanted
    line = transaction.inventory.line_at(wanted.site or "")
    if line is None or line.state != "in_service":
        first, longest = _LINE_SECONDS
        wait = min(first << min(work.task.attempts, 10), longest)
        return Later(transaction.now + wait, "the line is not built yet")
    work.item.wanted = msgspec.structs.replace(wanted, line=line.name)
    # The port is the line's now; the addresses stay held until the service has them.
    kept = holds.holds_of(transaction.connection, [work.owner])
    rest = [one for one in kept if not one.resource.startswith("node:")]
    holds.change(transaction.connection, gone=kept, made=rest)
    return Done()


def _nothing(_work: Work) -> Outcome:
    return Done()


def _service(work: Work) -> Outcome:
    transaction, wanted = work.transaction, work.wanted
    records = transaction.together(ServiceRecords)
    before = transaction.inventory.service.get(wanted.service)
    record = records.find(wanted.service)
    if work.task.before is not None:
        before_body = work.task.before
    else:
        was = None if before is None else msgspec.to_builtins(before)
        before_body = {"service": was, "record": record}
    body = _body(wanted, before)
    work.change(wanted.service, body)
    transaction.release(work.owner)  # the addresses are the service's now
    state = "inactive" if wanted.action is Action.ADD else "active"
    records.put(
        {
            "name": wanted.service,
            "line": body["line"],
            "offering": body["offering"],
            "state": state,
            "order_id": work.order.id,
            "customer": body.get("customer"),
            "changed_at": transaction.now,
            "tenant": work.order.tenant,
        }
    )
    return Done(before_body)


def _body(wanted: Wanted, before: Service | None) -> dict[str, Any]:
    """Make the service as it is to be: what was, and what the item says over it."""
    if before is None:
        assert wanted.line is not None
        assert wanted.offering is not None
        before = Service(
            name=wanted.service,
            isp=wanted.isp,
            line=wanted.line,
            offering=wanted.offering,
        )
    said: dict[str, Any] = {}
    if wanted.moves_from is not None:
        said |= {"line": wanted.line, "former_line": wanted.moves_from}
    if wanted.offering is not None:
        said["offering"] = wanted.offering
    if wanted.user_name is not None:
        said["user_names"] = (wanted.user_name,)
    if wanted.password_sealed is not None:
        said |= {"password": None, "password_hash": None}
        said["password_sealed"] = wanted.password_sealed
    if wanted.mac_address is not None:
        said["mac_addresses"] = (wanted.mac_address,)
    if wanted.customer is not None:
        said["customer"] = wanted.customer
    if wanted.replaces is not None:
        said["replaces"] = wanted.replaces
    made: Service = msgspec.structs.replace(before, **said)
    body: dict[str, Any] = msgspec.to_builtins(made)
    return body


def _service_undo(work: Work) -> Outcome:
    """Put back what there was, the record too: as if it had never been ordered."""
    before = work.task.before
    if before is None:
        return Done()  # it was never done
    records, name = work.transaction.together(ServiceRecords), work.wanted.service
    service = work.transaction.inventory.service.get(name)
    coa, by = work.ports.coa, f"order {work.order.id}"
    if service is not None and before["service"] is None:
        coa.disconnect(work.transaction, service, by)
    work.change(name, before["service"])
    if service is not None and before["service"] is not None:
        coa.change(work.transaction, service, by)
    if before["record"] is None:
        records.remove(name)
    else:
        records.put(dict(before["record"]))
    return Done()


def _remove(work: Work) -> Outcome:
    transaction, name = work.transaction, work.wanted.service
    service = transaction.inventory.service.get(name)
    if service is None:
        return Done(work.task.before)
    before = {"service": msgspec.to_builtins(service)}
    _terminate(work, service)
    return Done(before)


def _terminate(work: Work, service: Service) -> None:
    """Take a service away, and keep that it was: names are not given twice."""
    transaction = work.transaction
    work.change(service.name, None)
    transaction.together(ServiceRecords).put(
        {
            "name": service.name,
            "line": service.line,
            "offering": service.offering,
            "state": "terminated",
            "order_id": work.order.id,
            "customer": service.customer,
            "changed_at": transaction.now,
            "tenant": service.isp,
        }
    )


def _coa(work: Work) -> Outcome:
    """Let sessions be what the service is now, or end with it."""
    service = work.transaction.inventory.service.get(work.wanted.service)
    if service is not None:
        coa, by = work.ports.coa, f"order {work.order.id}"
        tell = coa.disconnect if work.item.action is Action.DELETE else coa.change
        tell(work.transaction, service, by)
    return Done()


def _subject(work: Work) -> Service | None:
    """Give the service of an item, or what it was when the item took it away."""
    service = work.transaction.inventory.service.get(work.wanted.service)
    if service is not None:
        return service
    for task in work.order.tasks_of(work.item.number):
        if task.kind is Kind.REMOVE and task.before:
            return msgspec.convert(task.before["service"], Service)
    return None


def _rating_open(work: Work) -> Outcome:
    wanted = work.wanted
    before = work.transaction.inventory.service.get(wanted.service)
    service = msgspec.convert(_body(wanted, before), Service)
    return work.ports.rating.open(work.transaction, service)


def _rating_open_undo(work: Work) -> Outcome:
    if work.wanted.action is Action.MODIFY:
        service = _subject(work)
        assert service is not None
        return work.ports.rating.open(work.transaction, service)
    service = msgspec.convert(_body(work.wanted, None), Service)
    return work.ports.rating.close(work.transaction, service)


def _rating_close(work: Work) -> Outcome:
    service = _subject(work)
    if service is None:
        return Done()
    return work.ports.rating.close(work.transaction, service)


def _proof(work: Work) -> Outcome:
    transaction = work.transaction
    if not work.task.attempts:
        # What was written in this very transaction nobody has seen yet.
        return Later(
            transaction.now + _PROOF_SECONDS[0], "no packet of it was seen yet"
        )
    service = transaction.inventory.service.get(work.wanted.service)
    if service is None:
        return Later(transaction.now + _PROOF_SECONDS[1], "the service is gone")
    # Waiting began when the service was written.
    since = work.task.deadline_at - POLICIES[Kind.PROOF].wait_seconds
    moved = work.wanted.moves_from is not None
    seen = is_seen_moved if moved else is_seen
    if not seen(transaction, service, since):
        first, longest = _PROOF_SECONDS
        wait = min(first << min(work.task.attempts, 9), longest)
        return Later(transaction.now + wait, "no packet of it was seen yet")
    records = transaction.together(ServiceRecords)
    records.move(service.name, "active", transaction.now)
    return Done({"since": since})


def _takeover(work: Work) -> Outcome:
    """What is new is seen to work: what it takes the place of ends."""
    wanted = work.wanted
    own = work.transaction.inventory.service[wanted.service]
    if wanted.moves_from is not None:
        return _leave(work, own, wanted.moves_from)
    return _replace(work, own)


def _leave(work: Work, own: Service, former: str) -> Outcome:
    """End a service on the line that it has moved away from."""
    moved: Service = msgspec.structs.replace(own, former_line=None)
    by = f"order {work.order.id}"
    work.ports.coa.disconnect(work.transaction, own, by, former)
    work.change(own.name, msgspec.to_builtins(moved))
    return Done()


def _replace(work: Work, own: Service) -> Outcome:
    """End the service of the ISP that was on the line before, and tell it."""
    transaction, wanted = work.transaction, work.wanted
    old = transaction.inventory.service.get(wanted.replaces or "")
    replaced: Service = msgspec.structs.replace(own, replaces=None)
    work.change(own.name, msgspec.to_builtins(replaced))
    if old is None:
        return Done()
    closed = work.ports.rating.close(transaction, old)
    if not isinstance(closed, Done):
        return closed
    work.ports.coa.disconnect(transaction, old, f"order {work.order.id}")
    _terminate(work, old)
    told = {"state": "terminated", "reason": "change of ISP", "service": old.name}
    event = Event(old.isp, "ServiceStateChangeEvent", old.name, old.line, told)
    outbox.publish(transaction.connection, [event], transaction.now)
    return Done({"service": msgspec.to_builtins(old)})


LOCAL: Final[dict[Kind, tuple[Adapter, Adapter | None]]] = {
    Kind.LINE: (_line, _nothing),
    Kind.RATING_OPEN: (_rating_open, _rating_open_undo),
    Kind.RATING_CLOSE: (_rating_close, None),
    Kind.SERVICE: (_service, _service_undo),
    Kind.REMOVE: (_remove, None),
    Kind.COA: (_coa, _nothing),
    Kind.PROOF: (_proof, _nothing),
    Kind.TAKEOVER: (_takeover, None),
}
"""How each kind is done and undone; None where there is no way back."""


def look_ahead(transaction: Transaction, ports: Ports, orders: Iterable[Order]) -> None:
    """Read together what the tasks of these orders will look up one by one."""
    items = [item for order in orders for item in order.items.values()]
    wanted = [item.wanted for item in items if item.wanted is not None]
    services = sorted({one.service for one in wanted})
    users = {one.user_name for one in wanted if one.user_name is not None}
    for name in services:
        known = transaction.inventory.service.get(name)
        users |= set(known.user_names) if known else set()
    transaction.together(ServiceRecords).look_ahead(services)
    transaction.together(LiveSessions).look_ahead(users)
    ports.rating.look_ahead(transaction, services)


def perform(work: Work) -> Outcome:
    """Do or undo one task that is ours."""
    do, undo = LOCAL[work.task.kind]
    if work.task.state == "pending":
        return do(work)
    assert undo is not None, f"{work.task.kind} cannot be undone"
    return undo(work)
