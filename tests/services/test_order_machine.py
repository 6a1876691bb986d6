"""Orders and tasks under everything that can happen, in any order.

Orders are placed, cancelled and retried, subscribers come and do not come, parties say
no, fail, hang and answer late or twice, the manager crashes in the middle of a step.
"""

from __future__ import annotations

import itertools
import tempfile
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from provisioning_site import AURORA, BOREALIS, Site, about, body, change_of_isp, fill
from sqlalchemy import select

from provisioning.order_states import ENDED, State
from provisioning.outcomes import Done, Outcome, Refused, Trouble
from services import order_steering, orders
from services.order_manager import Call, settle, step
from services.orders import Placed
from storage import network
from storage.database import migrate, open_database
from storage.provisioning_tables import held, hold, service_record

LINES = ("line1", "line2")
ANSWERS: dict[str, Outcome | Exception] = {
    "done": Done(),
    "no": Refused("no", "not this one"),
    "trouble": Trouble("no answer"),
    "bug": RuntimeError("a bug"),
}
NAMES = (
    "device", "device-remove", "bsp", "bsp-remove", "identity", "coa", "disconnect",
    "rating-open", "rating-close", "device-undo", "bsp-undo", "identity-undo",
)  # fmt: skip


class _CrashError(Exception):
    """The process dies here."""


class Orders(RuleBasedStateMachine):
    """The machine: a site on SQLite, and what is so of it at every moment."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = open_database("sqlite", self.folder.name)
        migrate(self.database)
        fill(self.database)
        self.site = Site(self.database)
        self.calls: list[Call] = []
        self.numbers = itertools.count(1)

    def teardown(self) -> None:
        """End what began."""
        self.settle_all()
        self.database.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        """Begin with a service of Aurora's on the first line."""
        self.site.active("line1", "A-0")

    def place(self, sent: Any, actor: Any) -> None:
        """Place an order, which may be refused, and again, which changes nothing."""
        for _ in range(2):
            with self.site.transaction() as transaction:
                placed = orders.place(
                    transaction,
                    actor,
                    sent,
                    keys=self.site.keys,
                    new_id=self.site.new_id,
                )
                assert isinstance(placed, Placed)

    @rule(line=st.sampled_from(LINES), films=st.booleans())
    def add(self, line: str, films: bool) -> None:
        """Aurora orders a service."""
        number = next(self.numbers)
        more = {"device": "ont-1", "offering": "home-films"} if films else {}
        user = f"sub-{line}@aurora.example"
        self.place(body(f"A-{number}", line=line, user=user, **more), AURORA)

    @rule(line=st.sampled_from(LINES))
    def change_over(self, line: str) -> None:
        """Borealis orders a line, whoever serves it."""
        self.place(change_of_isp(f"B-{next(self.numbers)}", line), BOREALIS)

    @rule(action=st.sampled_from(["modify", "delete", "move"]), place=st.integers(0, 5))
    def change_service(self, action: str, place: int) -> None:
        """Whoever has a service changes it or gives it up."""
        services = sorted(self.site.services().items())
        if not services:
            return
        name, service = services[place % len(services)]
        actor = AURORA if service["isp"] == "aurora" else BOREALIS
        more: dict[str, Any] = {}
        if action == "modify":
            said = [{"name": "customer", "value": f"C-{place}"}]
            more = {"serviceCharacteristic": said}
        if action == "move":
            to = [line for line in LINES if line != service["line"]]
            action, more = "modify", {"place": [{"role": "line", "name": to[0]}]}
        number = next(self.numbers)
        self.place(about(f"C-{number}", action, name, **more), actor)

    def open_orders(self) -> list[Any]:
        """Give the orders that have not ended."""
        found = self.site.orders(AURORA) + self.site.orders(BOREALIS)
        return sorted((o for o in found if not o.ended), key=lambda o: o.id)

    @rule(place=st.integers(0, 5), what=st.sampled_from(["cancel", "retry"]))
    def steer(self, place: int, what: str) -> None:
        """A person cancels an order or sends its dead letters on."""
        found = self.open_orders()
        if not found:
            return
        order = found[place % len(found)]
        actor = AURORA if order.tenant == "aurora" else BOREALIS
        with self.site.transaction() as transaction:
            if what == "cancel":
                order_steering.cancel(
                    transaction, actor, order.id, reason="", new_id=self.site.new_id
                )
            else:
                order_steering.retry(transaction, actor, order.id)

    @rule(name=st.sampled_from(NAMES), answer=st.sampled_from(sorted(ANSWERS)))
    def teach(self, name: str, answer: str) -> None:
        """Tell a party how to answer from now on; undoing is never refused."""
        refuses = answer == "no" and (name.endswith("undo") or name == "rating-close")
        self.site.parties.answers[name] = ANSWERS["trouble" if refuses else answer]

    @rule(line=st.sampled_from(LINES), isp=st.sampled_from(["aurora", "borealis"]))
    def connect(self, line: str, isp: str) -> None:
        """A subscriber comes on."""
        address = "100.64.0.2" if isp == "aurora" else "100.64.16.2"
        self.site.connect(f"sub-{line}@{isp}.example", address)

    @rule(seconds=st.sampled_from([0, 1, 5, 100, 1000, 100_000, 2_000_000]))
    def work(self, seconds: int) -> None:
        """The manager takes a step, so many seconds later."""
        self.calls += self.site.step(seconds).calls

    @rule()
    def crash(self) -> None:
        """The manager dies after a step's work and before its commit: nothing stays."""
        before = self.whole()
        try:
            with self.site.transaction() as transaction:
                step(transaction, self.site.parties.ports(), lambda: 0.5)
                raise _CrashError
        except _CrashError:
            pass
        assert before == self.whole()

    @precondition(lambda self: self.calls)
    @rule(place=st.integers(0, 5), twice=st.booleans())
    def answer(self, place: int, twice: bool) -> None:
        """An answer comes, in any order, perhaps late, perhaps twice."""
        call = self.calls.pop(place % len(self.calls))
        name = f"{call.kind}{'-undo' if call.undo else ''}"
        outcome = self.site.parties.answers.get(name, Done())
        if isinstance(outcome, Exception):
            return  # nobody answers
        for _ in range(2 if twice else 1):
            with self.site.transaction() as transaction:
                settle(transaction, call, outcome, lambda: 0.5)

    def whole(self) -> Any:
        """Give all that orders change."""
        with self.database.read.connect() as connection:
            return (
                network.read_network(connection),
                [tuple(row) for row in connection.execute(select(hold))],
                [repr(order) for order in self.open_orders()],
            )

    @invariant()
    def sums_are_those_of_the_holds(self) -> None:
        """What is held of a resource is what its owners hold."""
        with self.database.read.connect() as connection:
            sums: dict[str, int] = {}
            for row in connection.execute(select(hold)):
                sums[row.resource] = sums.get(row.resource, 0) + row.quantity
            kept = {
                row.resource: row.quantity
                for row in connection.execute(select(held))
                if row.quantity
            }
        assert sums == kept

    @invariant()
    def a_line_has_one_service_of_an_isp_and_two_at_most(self) -> None:
        """Two of them only while one is replacing the other."""
        services = self.site.services()
        for line in LINES:
            here = [one for one in services.values() if one["line"] == line]
            assert len({one["isp"] for one in here}) == len(here)
            if len(here) == 2:
                assert any(one.get("replaces") in services for one in here)

    def settle_all(self) -> None:
        """At the end everyone answers and everyone comes on: every path ends."""
        parties = self.site.parties
        parties.answers.clear()
        for _ in range(40):
            self.calls += self.site.step(2000).calls
            self.site.answer(self.calls)
            self.calls.clear()
            for order in self.open_orders():
                actor = AURORA if order.tenant == "aurora" else BOREALIS
                with self.site.transaction() as transaction:
                    order_steering.retry(transaction, actor, order.id)
            for service in self.site.services().values():
                own = service["isp"] == "aurora"
                for user in service.get("user_names", ()):
                    self.site.connect(user, "100.64.0.2" if own else "100.64.16.2")
            if not self.open_orders():
                break
        assert [] == [(o.id, o.state, o.tasks) for o in self.open_orders()]
        self.inventory_is_what_the_orders_say()

    def inventory_is_what_the_orders_say(self) -> None:
        """Nothing is held, and each completed order's service is there, or gone."""
        with self.database.read.connect() as connection:
            assert [] == list(connection.execute(select(hold)))
            records = {r.name: r for r in connection.execute(select(service_record))}
        services = self.site.services()
        live = {n for n, r in records.items() if r.state != "terminated"}
        assert live == set(services)
        assert all(records[name].state == "active" for name in live)
        half_done = {"replaces", "former_line"}
        assert not any(half_done & set(one) for one in services.values())
        ended = self.site.orders(AURORA) + self.site.orders(BOREALIS)
        assert all(order.state in ENDED for order in ended)
        undone = [o for o in ended if o.state in (State.FAILED, State.CANCELLED)]
        for order in undone:
            for item in order.items.values():
                if item.wanted is not None and item.action == "add":
                    record = records.get(item.wanted.service)
                    assert record is None or record.order_id != order.id


TestOrders = Orders.TestCase
TestOrders.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, print_blob=True
)
