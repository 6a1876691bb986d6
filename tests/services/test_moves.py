"""A service moved to another line by one order: made there before it breaks here."""

from __future__ import annotations

from typing import Any

from provisioning_site import AURORA, BOREALIS, STAFF, Site, about, body, change_of_isp

from provisioning.order import Order
from provisioning.order_states import State
from provisioning.task_graph import Kind
from services import order_steering, orders
from services.orders import Placed
from services.provisioning import ObjectChange
from services.reconciliation import report

SERVICE = "aurora-line1"
USER = "sub-line1@aurora.example"
DAY = 86_400


def to(role: str, name: str, external_id: str = "M-1") -> dict[str, Any]:
    """Give the order of a move."""
    return about(external_id, "modify", SERVICE, place=[{"role": role, "name": name}])


def on(site: Site, line: int) -> None:
    """Let the subscriber log in on a line, now."""
    site.connect(USER, nas_port_id=f"ge-0/0/1:{line}", started_at=site.now)


def lines(site: Site) -> tuple[str, str | None]:
    """Give the lines of the service: its own and the former one."""
    service = site.services()[SERVICE]
    return service["line"], service.get("former_line")


def refused(site: Site, sent: dict[str, Any], actor: Any = AURORA) -> list[str]:
    """Place an order that is refused, and give the codes."""
    return [one["code"] for one in site.place(sent, actor).errors]


def test_a_service_works_on_both_lines_until_it_is_seen_on_the_new_one(
    site: Site,
) -> None:
    """What goes on where it was proves nothing; then the old line is left, and its
    sessions alone are ended."""
    site.active("line1")
    order = site.place(to("line", "line2"))
    site.run()
    both = lines(site)
    site.now += 60
    on(site, 1)
    site.run(seconds=300)
    waiting = site.order(order.id).state
    on(site, 2)
    site.run(seconds=300)

    assert ("line2", "line1") == both
    assert State.IN_PROGRESS == waiting
    assert State.COMPLETED == site.order(order.id).state
    assert ("line2", None) == lines(site)
    assert ("disconnect", "line1") in site.parties.asked
    assert ("disconnect", SERVICE) not in site.parties.asked


def test_a_lease_on_the_new_line_proves_a_move(site: Site) -> None:
    """And one on the old line does not."""
    site.active("line1")
    order = site.place(to("line", "line2"))
    site.run()
    site.lease("line1", SERVICE, "100.64.0.3")
    site.run(seconds=300)
    waiting = site.order(order.id).state
    site.lease("line2", SERVICE, "100.64.0.4")
    site.run(seconds=300)

    assert State.IN_PROGRESS == waiting
    assert State.COMPLETED == site.order(order.id).state


def test_a_move_that_nobody_makes_leaves_the_service_where_it_was(site: Site) -> None:
    """Rolled back after two weeks, or when it is cancelled."""
    site.active("line1")
    before = site.services()
    order = site.place(to("line", "line2"))
    site.run()
    site.run(rounds=5, seconds=5 * DAY)
    failed = site.order(order.id).state
    second = site.place(to("line", "line3", "M-2"))
    site.run()
    with site.transaction() as transaction:
        order_steering.cancel(
            transaction, AURORA, second.id, reason="", new_id=site.new_id
        )
    site.run()

    assert State.FAILED == failed
    assert State.CANCELLED == site.order(second.id).state
    assert before == site.services()


def test_a_move_waits_for_a_line_that_is_not_built_and_is_qualified_there(
    site: Site,
) -> None:
    """A port and an address are kept for it there; here it goes on."""
    site.active("line1")
    order = site.place(to("site", "site7"))
    site.run()
    waiting = lines(site)
    line = {"name": "line7", "area": "harbour", "node": "olt1", "site": "site7"}
    with site.transaction() as transaction:
        transaction.change(STAFF, [ObjectChange("line", "line7", None, line)])
    site.run(seconds=3600)
    moving = lines(site)
    on(site, 7)
    site.run(seconds=300)

    assert ("line1", None) == waiting
    assert ("line7", "line1") == moving
    assert State.COMPLETED == site.order(order.id).state


def test_what_stands_in_the_way_of_a_move_is_told(site: Site) -> None:
    """A line that is not there or has a service; and while one moves, nobody takes its
    line over, be it before the move begins or in the middle."""
    site.active("line1")
    site.place(body("B-1", line="line2", offering="polar-100",
                    user="x@borealis.example"), BOREALIS)  # fmt: skip
    site.run()
    site.connect("x@borealis.example", "100.64.16.2")
    site.run(seconds=2)
    taken = refused(site, to("line", "line2", "M-1"))
    nowhere = refused(site, to("line", "line99", "M-2"))
    site.place(to("line", "line3", "M-3"))
    early = refused(site, change_of_isp("B-2", "line1"), BOREALIS)
    site.run()
    late = refused(site, change_of_isp("B-3", "line1"), BOREALIS)

    assert ["line_taken"] == taken
    assert ["unknown_place"] == nowhere
    assert ["line_has_open_order"] == early == late


def test_a_modify_that_names_its_own_line_moves_nothing(site: Site) -> None:
    """It says where the service is; nothing waits for a packet."""
    site.active("line1")
    order = site.place(to("line", "line1"))
    site.run()

    assert State.COMPLETED == site.order(order.id).state
    assert ("line1", None) == lines(site)


def test_the_devices_of_both_lines_are_told_of_a_move(site: Site) -> None:
    """The new one before, the old one after; and reconciliation finds nothing."""
    site.place(body(user=USER, offering="home-films", device="ont-1"))
    site.run()
    site.connect(USER)
    site.run(seconds=2)
    asked = []

    def go_on(seconds: int) -> None:
        for _ in range(6):
            made = site.step(seconds)
            devices = (Kind.DEVICE, Kind.DEVICE_REMOVE)
            asked.extend((c.kind, c.party) for c in made.calls if c.kind in devices)
            site.answer(made.calls)

    order = site.place(to("line", "line2"))
    go_on(0)
    before = list(asked)
    on(site, 2)
    go_on(100)
    with site.database.read.connect() as connection:
        found = [one for one in report(connection, site.now) if "device" in one.drift]

    assert [(Kind.DEVICE, "line2")] == before
    assert [(Kind.DEVICE, "line2"), (Kind.DEVICE_REMOVE, "line1")] == asked
    assert State.COMPLETED == site.order(order.id).state
    assert [] == found


def test_a_move_to_an_area_without_addresses_is_refused(site: Site) -> None:
    """The address that it has here is none there."""
    site.active("line1")
    with site.transaction() as transaction:
        far = {"name": "far1", "area": "hills"}
        pool = {"name": "p9", "area": "hills", "isp": "aurora"}
        made: Any = [
            ObjectChange("line", "far1", None, far),
            ObjectChange("pool", "p9", None, pool | {"prefixes": ["10.9.0.0/32"]}),
            ObjectChange("service", "other", None, {
                "name": "other", "isp": "aurora", "line": "far2",
                "offering": "home-500",
            }),
            ObjectChange("line", "far2", None, {"name": "far2", "area": "hills"}),
        ]  # fmt: skip
        transaction.change(STAFF, made)
    with site.transaction() as transaction:
        sent = to("line", "far1")
        placed = orders.place(
            transaction, AURORA, sent, keys=site.keys, new_id=site.new_id
        )

    assert isinstance(placed, Placed)
    order: Order = placed.order
    assert ["no_addresses"] == [one["code"] for one in order.errors]
