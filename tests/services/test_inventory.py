"""The inventory in and out as CSV, reconciliation, and the exit of an ISP."""

from __future__ import annotations

from provisioning_site import AURORA, BOREALIS, STAFF, Site, about
from sqlalchemy import update

from config.network import KINDS
from provisioning.order_states import State
from provisioning.reconciliation import Drift, monthly_fees
from services import inventory, inventory_rules, isp_exit
from services import inventory_csv as csv
from services.provisioning import ObjectChange
from services.reconciliation import report
from services.subscriptions import Subscriptions
from storage.tables import session


def take(site: Site, kind: str, text: str, *, complete: bool = False) -> list[str]:
    """Import a file and give the difference."""
    rows, mistakes = csv.read(kind, text.splitlines())
    assert [] == mistakes
    with site.transaction() as transaction:
        changes, wrong = csv.difference(transaction, kind, rows, complete=complete)
        assert [] == wrong
        assert [] == csv.mistakes_between(transaction, changes, rows)
        inventory.take(transaction, STAFF, kind, changes, "CSV import")
    return [csv.shown(change) for change in changes]


def export(site: Site, kind: str, tenant: str | None = None) -> str:
    """Export a kind."""
    with site.database.read.connect() as connection:
        return "\n".join(csv.export(connection, kind, tenant))


def test_what_goes_out_comes_in_and_changes_nothing(site: Site) -> None:
    """For every kind; secrets stay what they are."""
    site.active()
    for kind in csv.ALL_KINDS:
        assert [] == take(site, kind, export(site, kind), complete=True), kind


def test_an_import_shows_its_difference_and_is_logged(site: Site) -> None:
    """Two columns change one thing; the rest of the line stays."""
    shown = take(site, "line", "name,state\nline1,faulty\n")
    added = take(site, "customer", "name,tenant,full_name\nC-1,aurora,Ann Lee\n")
    with site.database.read.connect() as connection:
        log = inventory.log_of(connection, kind="line", name="line1")

    assert ["~ line line1  state: None -> 'faulty'"] == shown
    assert 1 == len(added)
    assert [("clara", "modify", "CSV import")] == [
        (row["actor"], row["action"], row["reason"]) for row in log
    ]
    assert "faulty" == log[0]["after"]["state"]
    assert "state" not in log[0]["before"]


def test_two_isps_may_call_a_customer_alike(site: Site) -> None:
    """A customer's name is its ISP's own: one row is not the other's, nor taken away
    with it."""
    take(site, "customer", "name,tenant,full_name\nC-1,aurora,Ann\nC-1,borealis,Bo\n")
    changed = take(site, "customer", "name,tenant,contact\nC-1,aurora,a@example.net\n")

    assert 1 == len(changed)
    assert [
        "name,tenant,full_name,contact",
        "C-1,aurora,Ann,a@example.net",
        "C-1,borealis,Bo,",
    ] == sorted(export(site, "customer").splitlines(), key=lambda one: one[0] != "n")


def test_every_mistake_of_a_file_is_told_with_its_line(site: Site) -> None:
    """And nothing of it is taken."""
    lines = ("olt2,harbour,many", "olt3,harbour", "olt4,harbour,4", "olt4,harbour,4")
    rows, mistakes = csv.read("node", ["name,area,ports", *lines])
    _, heading = csv.read("node", ["name,colour"])
    moon, _ = csv.read("node", ["name,area,ports", "olt2,moon,4"])
    with site.transaction() as transaction:
        _, wrong = csv.difference(transaction, "node", rows, complete=False)
        changes, _ = csv.difference(transaction, "node", moon, complete=False)
        between = csv.mistakes_between(transaction, changes, moon)

    assert [3, 5] == [one.line for one in mistakes]
    assert [2] == [one.line for one in wrong]
    assert [1] == [one.line for one in heading]
    assert [2] == [one.line for one in between]
    assert "moon" in between[0].message


def test_files_of_secrets_are_for_the_network_file_alone(site: Site) -> None:
    """Nobody would read them here, and there would be no secret."""
    bodies = {
        "nas": {"name": "bng9", "address": "192.0.2.9", "secret_file": "keys"},
        "isp": {"name": "cirrus", "radius_secret_file": "keys"},
    }
    with site.transaction() as transaction:
        for kind, body in bodies.items():
            change = ObjectChange(kind, body["name"], None, body)
            found = inventory_rules.conflicts(transaction, [change])
            paths = [finding.path for _, finding in found]
            assert [(list(body)[-1],)] == paths


def test_every_object_of_the_network_that_is_exported_has_its_columns() -> None:
    """The kinds of a file are those of the network, and the tables beside it."""
    assert set(csv.IMPORTED) <= set(KINDS)
    assert all("name" in csv.columns(kind) for kind in csv.ALL_KINDS)


def test_what_orders_changed_is_no_longer_the_network_file_s(site: Site) -> None:
    """A service that was ordered, or given up, is theirs."""
    site.active()
    site.place(about("A-2", "delete", "aurora-line1"))
    site.run()
    with site.database.read.connect() as connection:
        assert {("service", "aurora-line1")} == inventory.managed(connection)


def test_reconciliation_finds_what_differs(site: Site) -> None:
    """Billed and not served, served and not billed, seen without a service."""
    site.active("line1")
    site.active("line2", "A-2")
    site.parties.answers.clear()
    site.connect("stranger@aurora.example")
    with site.transaction() as transaction:
        own = transaction.inventory.service["aurora-line1"]
        Subscriptions().open(transaction, own)
        ghost = ObjectChange(
            "service", "aurora-line1", site.services()["aurora-line1"], None
        )
        transaction.change(STAFF, [ghost])
    with site.database.read.connect() as connection:
        found = {(one.drift, one.service) for one in report(connection, site.now)}
        foreign = report(connection, site.now, "borealis")

    assert {
        (Drift.BILLED_NOT_SERVED, "aurora-line1"),
        (Drift.ORDERED_NOT_THERE, "aurora-line1"),
        (Drift.SERVED_NOT_BILLED, "aurora-line2"),
        (Drift.SEEN_WITHOUT_SERVICE, "sub-line1@aurora.example"),
        (Drift.SEEN_WITHOUT_SERVICE, "stranger@aurora.example"),
    } == found
    assert [] == foreign


def test_a_service_that_nobody_has_used_for_a_month_is_told(site: Site) -> None:
    """Paid for and never seen; not in its first month, nor while it is online."""
    site.active("line1")
    with site.transaction() as transaction:
        Subscriptions().open(transaction, transaction.inventory.service[SERVICE])
    with site.database.write.begin() as connection:
        connection.execute(update(session).values(state="closed"))

    assert [] == drifts(site, 29)
    assert [(Drift.NEVER_SEEN, SERVICE)] == drifts(site, 31)
    site.connect("sub-line1@aurora.example")
    assert [] == drifts(site, 31)


def test_a_service_that_was_given_up_and_is_there_again_is_told(site: Site) -> None:
    """Somebody brought it back past the orders."""
    site.active("line1")
    was = site.services()[SERVICE]
    site.place(about("A-2", "delete", SERVICE))
    site.run()
    with site.transaction() as transaction:
        again = ObjectChange("service", SERVICE, None, was)
        transaction.change(STAFF, [again])

    assert (Drift.THERE_NOT_ORDERED, SERVICE) in drifts(site)


SERVICE = "aurora-line1"


def drifts(site: Site, days: int = 0) -> list[tuple[Drift, str]]:
    """Give what the report says so many days on."""
    with site.database.read.connect() as connection:
        found = report(connection, site.now + days * 86_400)
    return [(one.drift, one.service) for one in found]


def test_drift_is_told_in_the_money_of_the_newest_tariff() -> None:
    """Monthly fees alone, in micro-units."""
    fees = [
        {"amount": "39.90"},
        {"amount": "0.000001", "every": "month"},
        {"amount": "99", "every": "once"},
    ]
    versions = [
        {"valid_from": "2026-01-01", "fee": fees},
        {"valid_from": "2025-01-01", "fee": [{"amount": "1"}]},
    ]
    tariffs = {"t": {"currency": "EUR", "version": versions}}

    assert (39_900_001, "EUR") == monthly_fees({"tariff": "t"}, tariffs)
    assert monthly_fees({}, tariffs) is None


def test_an_isp_s_exit_moves_its_subscribers_a_few_at_a_time(site: Site) -> None:
    """Each an order of its own; called again it goes on, until nobody is left."""
    for number in (1, 2, 3):
        site.active(f"line{number}", f"A-{number}")
    users = {f"aurora-line{n}": f"new{n}@borealis.example" for n in (1, 2, 3)}
    move = isp_exit.Move("aurora", "borealis", {"home-500": "polar-100"}, 2, users)
    staff = STAFF._replace(on_behalf=None)
    placed = []
    for _ in range(5):
        with site.transaction() as transaction:
            made = isp_exit.go_on(
                transaction, staff, move, keys=site.keys, new_id=site.new_id
            )
        assert isinstance(made, isp_exit.Progress), made
        assert [] == made.refused
        placed.append(len(made.placed))
        site.run()
        for service in site.services().values():
            if service["isp"] == "borealis":
                site.connect(service["user_names"][0], "100.64.16.9")
        site.run(seconds=2)
    orders = site.orders(BOREALIS)

    assert [2, 1, 0, 0, 0] == placed
    assert {State.COMPLETED} == {order.state for order in orders}
    assert {"borealis"} == {one["isp"] for one in site.services().values()}


def test_no_minute_sees_more_moves_than_were_asked_for(site: Site) -> None:
    """However often it is called: stopped and begun again, it keeps the pace."""
    for number in (1, 2, 3):
        site.active(f"line{number}", f"A-{number}")
    offerings = {"home-500": "polar-100"}
    move = isp_exit.Move("aurora", "borealis", offerings, 10, {}, per_minute=2)
    placed = []
    for seconds in (0, 0, 59, 1, 60):
        site.now += seconds
        with site.transaction() as transaction:
            made = isp_exit.go_on(
                transaction,
                STAFF._replace(on_behalf=None),
                move,
                keys=site.keys,
                new_id=site.new_id,
            )
        assert isinstance(made, isp_exit.Progress), made
        placed.append(len(made.placed))

    assert [2, 0, 0, 1, 0] == placed


def test_only_the_network_moves_an_isp_and_says_what_for_what(site: Site) -> None:
    """An ISP may not, and nothing is moved to an offering that nobody named."""
    site.active()
    move = isp_exit.Move("aurora", "borealis", {}, 2, {})
    with site.transaction() as transaction:
        for actor, code in ((AURORA, "not_allowed"), (STAFF, "unknown_offering")):
            made = isp_exit.go_on(
                transaction, actor, move, keys=site.keys, new_id=site.new_id
            )
            assert isinstance(made, list)
            assert [code] == [one.code for one in made]
