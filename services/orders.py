"""Orders: placed, found, cancelled, sent on their way again; the same for all channels.

An order, its items, tasks, holds and news are one transaction. The ISP's own id of an
order is the key that makes it happen once: the same body again gives the same order,
on whichever channel it comes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from provisioning import order as orders
from provisioning.order import Order
from provisioning.order_body import OrderBody, names, read_order, shown
from provisioning.order_rules import claims
from provisioning.order_states import ENDED, State
from provisioning.refusal import Refusal
from services.actor import Actor
from services.order_assessment import Keys, accept_or_reject
from services.provisioning import ObjectChange, Transaction, log_changes
from storage import holds, order_queries, outbox
from storage import orders as stored
from storage.holds import Hold
from storage.outbox import Event

BODY_BYTES: Final = 256 * 1024


class Placed(NamedTuple):
    """An order, and whether it is new. A refused one is in the state ``rejected``."""

    order: Order
    is_new: bool
    refusals: tuple[Refusal, ...] = ()


class Command(NamedTuple):
    """One order to be placed; ``held`` keeps it as a draft until it is released."""

    actor: Actor
    body: Mapping[str, Any]
    held: bool = False


BATCH: Final = 128
"""Orders placed in one transaction: they share its commit, and none waits long."""


def place_all(
    transaction: Transaction,
    commands: Sequence[Command],
    *,
    keys: Keys,
    new_id: Callable[[], str],
) -> list[Placed | list[Refusal]]:
    """Take orders in their turn; each sees those before it."""
    batch = _Batch(transaction, keys, new_id)
    placed = [batch.place(command) for command in commands]
    batch.write()
    return placed


def place(
    transaction: Transaction,
    actor: Actor,
    body: Mapping[str, Any],
    *,
    keys: Keys,
    new_id: Callable[[], str],
    held: bool = False,
) -> Placed | list[Refusal]:
    """Take an order; ``held`` keeps it as a draft until it is released.

    What cannot be read as an order, or has the id of another one
    (``external_id_conflict``), is refused and leaves nothing; what can be read and
    cannot be carried out is kept as a rejected order.
    """
    command = Command(actor, body, held)
    return place_all(transaction, [command], keys=keys, new_id=new_id)[0]


class _Batch:
    """Orders of one transaction, written together.

    An order that is about something that an unwritten one is about waits for that to
    be written, so that all it looks up is there.
    """

    def __init__(
        self, transaction: Transaction, keys: Keys, new_id: Callable[[], str]
    ) -> None:
        self._transaction = transaction
        self._keys = keys
        self._new_id = new_id
        self._orders: list[Order] = []
        self._events: list[Event] = []
        self._holds: list[Hold] = []
        self._held: Counter[str] = Counter()
        self._about: set[str] = set()
        self._claims: set[tuple[str, str]] = set()

    def place(self, command: Command) -> Placed | list[Refusal]:
        """Take one order."""
        transaction, actor = self._transaction, command.actor
        isp = actor.isp
        if isp is None:
            return [Refusal("isp_missing", "", "say on behalf of which ISP")]
        if isp not in transaction.inventory.isp:
            return [Refusal("unknown_isp", "", f"there is no ISP called {isp!r}")]
        encoded = msgspec.json.encode(command.body, order="deterministic")
        if len(encoded) > BODY_BYTES:
            return [Refusal("body_too_large", "", f"at most {BODY_BYTES} bytes")]
        read = read_order(command.body)
        if isinstance(read, list):
            return read
        about = {f"{isp}/{read.external_id}", *names(read)}
        if about & self._about:
            self.write()
        self._about |= about
        key = self._keys.digest_key
        digest = hashlib.blake2b(encoded, key=key, digest_size=32).hexdigest()
        same = stored.find_external(transaction.connection, isp, read.external_id)
        if same is not None:
            found = stored.load(transaction.connection, [same])[same]
            if found.digest != digest:
                reason = f"{read.external_id!r} is the id of another order"
                return [Refusal("external_id_conflict", "/externalId", reason)]
            return Placed(found, False, _refusals(found))
        order, made = self._taken(command, read, isp, digest)
        if self._claims & _claims(order):
            # By a token, or by its site: the same line in other words.
            self.write()
            order, made = self._taken(command, read, isp, digest)
        self._keep(actor, order, made)
        return Placed(order, True, _refusals(order))

    def _taken(
        self, command: Command, read: OrderBody, isp: str, digest: str
    ) -> tuple[Order, list[Hold]]:
        now, actor = self._transaction.now, command.actor
        order = Order(
            id=self._new_id(),
            external_id=read.external_id,
            tenant=isp,
            digest=digest,
            channel=actor.channel,
            actor=actor.name,
            on_behalf=actor.on_behalf,
            ordered_at=now,
            start_at=max(read.start_at, now),
            body=shown(command.body),
        )
        made = accept_or_reject(self._transaction, order, read, self._keys, self._held)
        waits = command.held or read.start_at > now
        if order.state is State.ACKNOWLEDGED and waits:
            order.state = State.HELD if command.held else State.PENDING
            for item in order.items.values():
                item.state = order.state
        order.due_at = None if command.held or order.ended else order.start_at
        return order, made

    def _keep(self, actor: Actor, order: Order, made: list[Hold]) -> None:
        for hold in made:
            self._held[hold.resource] += hold.quantity
        self._holds += made
        self._orders.append(order)
        self._events.append(_placed_event(self._transaction, actor, order))
        self._claims |= _claims(order)

    def write(self) -> None:
        """Write what was taken since the last time."""
        connection = self._transaction.connection
        if self._orders:
            stored.add(connection, self._orders)
            holds.change(connection, made=self._holds)
            outbox.publish(connection, self._events, self._transaction.now)
        self._orders, self._events, self._holds = [], [], []
        self._held.clear()
        self._about.clear()
        self._claims.clear()


def _claims(order: Order) -> set[tuple[str, str]]:
    if order.ended:
        return set()
    wanted = (item.wanted for item in order.items.values() if item.wanted)
    return {one for each in wanted for one in claims(each)}


def _placed_event(transaction: Transaction, actor: Actor, order: Order) -> Event:
    """Tell the ISP of its order; of one on its behalf it is told who placed it."""
    body = {
        "state": order.state.value,
        "externalId": order.external_id,
        "channel": order.channel,
    }
    if order.on_behalf is not None:
        body |= {"onBehalfOf": order.on_behalf, "orderedBy": order.actor}
        after = {"externalId": order.external_id, "state": order.state.value}
        log_changes(
            transaction.connection,
            actor,
            [ObjectChange("order", order.id, None, after)],
            transaction.now,
            f"on behalf of {order.on_behalf}",
        )
    line = line_of_order(order)
    return Event(order.tenant, "ServiceOrderCreateEvent", order.id, line, body)


def line_of_order(order: Order) -> str | None:
    """Give the line whose news an order's are; None when there is none yet."""
    lines = (item.wanted.line for item in order.items.values() if item.wanted)
    return next((line for line in lines if line), None)


def _refusals(order: Order) -> tuple[Refusal, ...]:
    if order.state is not State.REJECTED:
        return ()
    return tuple(Refusal(e["code"], e["pointer"], e["reason"]) for e in order.errors)


def find(transaction: Transaction, actor: Actor, order_id: str) -> Order | None:
    """Give an order; None for one that is not there or another tenant's."""
    order = stored.load(transaction.connection, [order_id]).get(order_id)
    return order if order and actor.sees in (None, order.tenant) else None


def listed(
    transaction: Transaction, actor: Actor, wanted: order_queries.Filter
) -> list[Order]:
    """List orders, the newest first; of the actor's tenant, whatever is asked for."""
    mine = wanted if actor.sees is None else wanted._replace(tenant=actor.sees)
    ids = order_queries.list_ids(transaction.connection, mine)
    found = stored.load(transaction.connection, ids)
    return [found[id_] for id_ in ids]


def cancel(
    transaction: Transaction,
    actor: Actor,
    order_id: str,
    *,
    reason: str,
    new_id: Callable[[], str],
) -> dict[str, Any] | None:
    """Make TMF641's cancel task; None when there is no such order of the actor's.

    It is ``done`` when nothing was to undo, ``inProgress`` while it is undone, and
    ``terminatedWithError`` past the point of no return.
    """
    order = find(transaction, actor, order_id)
    if order is None:
        return None
    before = stored.snapshot(order)
    refused = orders.cancel(order, transaction.now)
    ended = "done" if order.ended else "inProgress"
    row = {
        "id": new_id(),
        "order_id": order.id,
        "at": transaction.now,
        "actor": actor.name,
        "reason": reason[:500],
        "state": "terminatedWithError" if refused else ended,
        "message": refused,
        "tenant": order.tenant,
    }
    order_queries.add_cancel(transaction.connection, row)
    save(transaction, order, before)
    return row


def retry(transaction: Transaction, actor: Actor, order_id: str) -> int | None:
    """Send an order's dead letters on their way again; how many there were."""
    order = find(transaction, actor, order_id)
    if order is None:
        return None
    before = stored.snapshot(order)
    count = orders.retry(order, transaction.now)
    if count:
        after = {"retried": count}
        change = ObjectChange("order", order.id, None, after)
        log_changes(
            transaction.connection,
            actor,
            [change],
            transaction.now,
            "retry",
            order.tenant,
        )
    save(transaction, order, before)
    return count


def release(transaction: Transaction, actor: Actor, order_id: str) -> Order | None:
    """Let a held order begin; None when there is none of the actor's."""
    order = find(transaction, actor, order_id)
    if order is None or order.state is not State.HELD:
        return None
    before = stored.snapshot(order)
    for item in order.items.values():
        item.state = State.PENDING
    orders.advance(order, transaction.now)
    save(transaction, order, before)
    return order


def save(transaction: Transaction, order: Order, before: stored.Snapshot) -> None:
    """Write what changed of one order; see ``save_all``."""
    save_all(transaction, [(order, before)])


def save_all(
    transaction: Transaction, changed: Sequence[tuple[Order, stored.Snapshot]]
) -> None:
    """Write what changed of orders, release what they need no more, tell their news."""
    connection, now = transaction.connection, transaction.now
    stored.save(connection, changed)
    ended = [
        f"{order.id}/{number}"
        for order, before in changed
        for number, item in order.items.items()
        if item.state in ENDED and before.items[number]["state"] != item.state.value
    ]
    if ended:
        holds.change(connection, gone=holds.holds_of(connection, ended))
    cancelled = [order.id for order, _ in changed if order.state is State.CANCELLED]
    if cancelled:
        order_queries.end_cancels(connection, cancelled)
    outbox.publish(
        connection,
        [
            Event(
                order.tenant,
                news.type,
                order.id,
                line_of_order(order),
                {"externalId": order.external_id, **news.body},
            )
            for order, _ in changed
            for news in order.news
        ],
        now,
    )
    for order, _ in changed:
        order.news.clear()
