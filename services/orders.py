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

from provisioning.appointment import misplaced
from provisioning.order import Order
from provisioning.order_body import (
    OrderBody,
    names,
    read_order,
    shown,
)
from provisioning.order_rules import claims, unproven
from provisioning.order_states import ENDED, State
from provisioning.refusal import Refusal
from provisioning.unstorable import REFUSED, has_nul
from services.actor import CLIENT_SOFTWARE, Actor
from services.order_assessment import Keys, accept_or_reject, look_ahead
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
    read = [_read(transaction, command, keys) for command in commands]
    batch.look_ahead([one for one in read if isinstance(one, _Read)])
    placed = [batch.place(one) if isinstance(one, _Read) else one for one in read]
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


class _Read(NamedTuple):
    """A command that can be read as an ISP's order."""

    command: Command
    isp: str
    body: OrderBody
    digest: str


def _read(
    transaction: Transaction, command: Command, keys: Keys
) -> _Read | list[Refusal]:
    isp = command.actor.isp
    if isp is None:
        return [Refusal("isp_missing", "", "say on behalf of which ISP")]
    if isp not in transaction.inventory.isp:
        return [Refusal("unknown_isp", "", f"there is no ISP called {isp!r}")]
    encoded = msgspec.json.encode(command.body, order="deterministic")
    if len(encoded) > BODY_BYTES:
        return [Refusal("body_too_large", "", f"at most {BODY_BYTES} bytes")]
    if has_nul(encoded):
        return [REFUSED]
    body = read_order(command.body)
    if isinstance(body, list):
        return body
    if command.actor.channel == CLIENT_SOFTWARE and (no := unproven(body)):
        return no
    if no := _misplaced(body, transaction.now):
        return no
    digest = hashlib.blake2b(encoded, key=keys.digest_key, digest_size=32)
    if command.actor.channel == CLIENT_SOFTWARE:
        # Whoever has the program could take the ISP's own ids from it.
        called = f"{_OF_SOFTWARE}{body.external_id}"
        body = msgspec.structs.replace(body, external_id=called)
    return _Read(command, isp, body, digest.hexdigest())


_OF_SOFTWARE: Final = "client:"


def _misplaced(body: OrderBody, now: int) -> list[Refusal]:
    made = [(i.appointment, i.pointer) for i in body.items if i.appointment is not None]
    found = [misplaced(a, f"{at}/appointment", body.start_at, now) for a, at in made]
    return [refusal for refusal in found if refusal is not None]


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

    def look_ahead(self, reads: Sequence[_Read]) -> None:
        """Look up together what the orders will ask one by one."""
        known = self._transaction.together(stored.OrderIds)
        known.look_ahead((one.isp, one.body.external_id) for one in reads)
        new = [one for one in reads if not known.find((one.isp, one.body.external_id))]
        for isp in sorted({one.isp for one in new}):
            bodies = [one.body for one in new if one.isp == isp]
            look_ahead(self._transaction, isp, bodies, self._keys)

    def place(self, read: _Read) -> Placed | list[Refusal]:
        """Take one order."""
        transaction, called = self._transaction, read.body.external_id
        about = {f"{read.isp}/{called}", *names(read.body)}
        if about & self._about:
            self.write()
        self._about |= about
        same = transaction.together(stored.OrderIds).find((read.isp, called))
        if same is not None:
            found = stored.load(transaction.connection, [same])[same]
            if found.digest != read.digest:
                reason = f"{called!r} is the id of another order"
                return [Refusal("external_id_conflict", "/externalId", reason)]
            return Placed(found, False, _refusals(found))
        order, made = self._taken(read)
        if self._claims & _claims(order):
            # By a token, or by its site: the same line in other words.
            self.write()
            order, made = self._taken(read)
        self._keep(read.command.actor, order, made)
        return Placed(order, True, _refusals(order))

    def _taken(self, read: _Read) -> tuple[Order, list[Hold]]:
        now, command, body = self._transaction.now, read.command, read.body
        actor = command.actor
        order = Order(
            id=self._new_id(),
            external_id=body.external_id,
            tenant=read.isp,
            digest=read.digest,
            channel=actor.channel,
            actor=actor.name,
            on_behalf=actor.on_behalf,
            ordered_at=now,
            start_at=max(body.start_at, now),
            body=shown(command.body),
        )
        made = accept_or_reject(self._transaction, order, body, self._keys, self._held)
        waits = command.held or body.start_at > now
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
            self._transaction.look_again()
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
