"""A failing adapter at each step: compensated, or a dead letter with the reason.

Parties and rating answer so through their ports; the outcome of an adapter that asks
nobody is put in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from provisioning_site import AURORA, BOREALIS, Site, about, body, change_of_isp

from provisioning.order import Order
from provisioning.order_states import ENDED, State
from provisioning.outcomes import Outcome, Refused, Trouble
from provisioning.task_graph import ATTEMPTS, DEAD, POLICIES, Kind
from services import adapters, order_steering
from services.actor import Actor

NO = Refused("no", "not this one")
DOWN = Trouble("no answer")
FILMS = {"offering": "home-films", "device": "ont-1"}


def add(site: Site) -> Order:
    """Order a service with a device and a BSP's product."""
    return site.place(body(**FILMS))


def add_with_identity(site: Site) -> Order:
    """Order a service of an ISP that approves user ids, on a line with another's."""
    site.active()
    return site.place(change_of_isp(), BOREALIS)


def delete(site: Site) -> Order:
    """Give up a service with a device and a BSP's product."""
    site.place(body(**FILMS))
    site.run()
    site.connect("sub1@aurora.example")
    site.run(seconds=2)
    return site.place(about("A-2", "delete", "aurora-line1"))


def unbuilt(site: Site) -> Order:
    """Order a service where no line is built yet."""
    sent = body()
    sent["serviceOrderItem"][0]["service"]["place"] = [
        {"role": "site", "name": "site7"}
    ]
    return site.place(sent)


ORDERS: dict[Kind, Callable[[Site], Order]] = {
    Kind.LINE: unbuilt,
    Kind.IDENTITY: add_with_identity,
    Kind.DEVICE: add,
    Kind.DEVICE_REMOVE: delete,
    Kind.BSP: add,
    Kind.BSP_REMOVE: delete,
    Kind.RATING_OPEN: add,
    Kind.RATING_CLOSE: delete,
    Kind.SERVICE: add,
    Kind.REMOVE: delete,
    Kind.COA: add,
    Kind.PROOF: add,
    Kind.TAKEOVER: add_with_identity,
}
"""An order that needs the adapter of each kind."""


class Failing(NamedTuple):
    """An order with one adapter that fails, and how everything was before it."""

    order: Order
    actor: Actor
    before: dict[str, object]


def carried_out(
    site: Site, kind: Kind, failure: Outcome, patch: pytest.MonkeyPatch
) -> Failing:
    """Place the order and go on until nothing more happens by itself."""
    order = ORDERS[kind](site)
    actor = AURORA if order.tenant == "aurora" else BOREALIS
    before = dict[str, object](site.services())
    if POLICIES[kind].remote or kind in (Kind.RATING_OPEN, Kind.RATING_CLOSE):
        site.parties.answers[kind.value] = failure
    else:
        undo = adapters.LOCAL[kind][1]
        patch.setitem(adapters.LOCAL, kind, (lambda _work: failure, undo))
    site.run(rounds=3)
    for user, address in (
        ("sub1@aurora.example", "100.64.0.2"),
        ("sub-line1@borealis.example", "100.64.16.2"),
    ):
        site.connect(user, address)
    site.run(rounds=30, seconds=600)
    return Failing(site.order(order.id, actor), actor, before)


def test_there_is_an_order_for_the_adapter_of_every_kind() -> None:
    """A kind that comes later cannot be forgotten here."""
    assert set(Kind) == set(ORDERS)


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize("kind", list(Kind))
def test_an_adapter_that_refuses_is_compensated_or_a_dead_letter(
    site: Site, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the point of no return all is as it was, and the order says why; past it
    the refusal waits for a person."""
    order, _, before = carried_out(site, kind, NO, monkeypatch)
    dead = [(t.kind, t.reason) for t in order.tasks.values() if t.state in DEAD]
    failed = [(one["code"], one["reason"]) for one in order.errors]

    if kind in (Kind.BSP_REMOVE, Kind.DEVICE_REMOVE, Kind.RATING_CLOSE):
        assert [(kind, "no: not this one")] == dead
        assert State.IN_PROGRESS == order.state
        assert [f"{kind} dead"] == [alert["name"] for alert in order.alerts]
    else:
        assert [] == dead
        assert [("no", "not this one")] == failed
        assert State.FAILED == order.state
        assert before == site.services()


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize("kind", list(Kind))
def test_an_adapter_in_trouble_is_a_dead_letter_that_a_retry_carries_on(
    site: Site, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its attempts it stops with the reason, undoing nothing; when the trouble is
    over a person sends it on, and it goes through."""
    with monkeypatch.context() as patch:
        order, actor, _ = carried_out(site, kind, DOWN, patch)
    dead = [
        (t.kind, t.attempts, t.reason) for t in order.tasks.values() if t.state in DEAD
    ]
    site.parties.answers.clear()
    with site.transaction() as transaction:
        count = order_steering.retry(transaction, actor, order.id)
        if kind is Kind.LINE:
            order_steering.cancel(
                transaction, actor, order.id, reason="", new_id=site.new_id
            )
    site.run(rounds=10, seconds=600)
    site.connect("sub1@aurora.example")
    site.connect("sub-line1@borealis.example", "100.64.16.2")
    site.run(rounds=10, seconds=600)
    ended = site.order(order.id, actor).state

    assert [(kind, ATTEMPTS, "no answer")] == dead
    assert State.IN_PROGRESS == order.state
    assert [f"{kind} dead"] == [alert["name"] for alert in order.alerts]
    assert 1 == count
    assert ended in ENDED
    assert (State.CANCELLED if kind is Kind.LINE else State.COMPLETED) == ended
