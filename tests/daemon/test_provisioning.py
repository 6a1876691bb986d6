"""Provisioning at the edges: the commands, the manager's loop, the desks."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from provisioning_site import AURORA, Site, body, fill
from sqlalchemy import event

from config.loader import load_settings
from controlplane.desk import WAITING_MAX, Desk, DeskBusyError
from daemon.cli import main
from daemon.provisioning import (
    new_id,
    order_desk,
    order_keys,
    qualification_desk,
)
from daemon.provisioning_manager import ProvisioningManager
from provisioning.order_states import State
from provisioning.outcomes import Done, Outcome, Refused, Trouble
from provisioning.task_graph import Kind
from services.order_manager import Call
from services.orders import Command, Placed
from services.qualification import Qualification, Query
from storage.database import migrate, open_database

NETWORK = """
[[area]]
name = "harbour"
[[isp]]
name = "aurora"
realms = ["aurora.example"]
[[node]]
name = "olt1"
area = "harbour"
ports = 8
[[line]]
name = "line1"
area = "harbour"
node = "olt1"
site = "site1"
[[offering]]
name = "home-500"
isp = "aurora"
down_kbps = 500_000
up_kbps = 100_000
[[line]]
name = "line2"
area = "harbour"
[[service]]
name = "old"
isp = "aurora"
line = "line2"
offering = "home-500"
"""
SITES = "name,area,node,address\nsite1,harbour,olt1,1 Quay Street 4711 Porthaven\n"


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A configuration with a network that is applied."""
    file = tmp_path / "fairlane.toml"
    file.write_text(f'data_dir = "{tmp_path / "data"}"\nnetwork = "network.toml"\n')
    (tmp_path / "network.toml").write_text(NETWORK)
    assert fairlane("apply", "-c", file).exit_code == 0
    order_keys(load_settings(file), make=True)  # as the daemon does at its first start
    return file


def fairlane(*arguments: str | Path, given: str | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(a) for a in arguments], input=given)


def said(result: Result) -> str:
    """Give what a command that went well printed."""
    assert result.exit_code == 0, result.output
    return result.output


def test_an_operator_imports_qualifies_orders_and_cancels(configuration: Path) -> None:
    """The whole way by the command line, on the database of a site."""
    c = ("-c", configuration)
    imported = ("inventory", "import", *c, "service_site", "-")
    dry = said(fairlane(*imported, "--dry-run", given=SITES))
    said(fairlane(*imported, given=SITES))
    again = said(fairlane(*imported, given=SITES))
    shown = said(
        fairlane("qualify", *c, "--isp", "aurora", "--address", "1 Quay St, Porthaven")
    )
    order = json.dumps(body())
    placed = said(fairlane("orders", "place", *c, "--isp", "aurora", "-", given=order))
    order_id = placed.split()[0]
    listed = json.loads(said(fairlane("orders", "list", *c, "--json")))
    tasks = json.loads(said(fairlane("orders", "show", *c, "--json", order_id)))
    cancelled = said(fairlane("orders", "cancel", *c, order_id))
    log = said(fairlane("inventory", "log", *c, "--json"))

    assert "1 would change" in dry
    assert "nothing to change" in again
    assert "qualified green: line:line1" in shown
    assert ("A-1", "acknowledged") == (listed["externalId"], listed["state"])
    assert "proof" in [task["kind"] for task in tasks["task"]]
    assert "cancel done\n" == cancelled
    assert {"network_file", "command_line"} <= {
        json.loads(line)["channel"] for line in log.splitlines()
    }


def test_a_refused_order_is_told_on_standard_error(configuration: Path) -> None:
    """With its place and code, and exit 1."""
    sent = json.dumps(body(line="nowhere"))
    result = fairlane(
        "orders", "place", "-c", configuration, "--isp", "aurora", "-", given=sent
    )

    assert 1 == result.exit_code
    assert "/serviceOrderItem/0/service/place: unknown_place" in result.output


def test_an_isp_that_leaves_is_moved_by_a_command_that_may_be_called_again(
    configuration: Path,
) -> None:
    """A dry run leaves nothing; a second call places no order twice; what stands for an
    offering has to be said."""
    more = """
[[isp]]
name = "borealis"
[[offering]]
name = "polar-100"
isp = "borealis"
down_kbps = 100_000
up_kbps = 50_000
"""
    (configuration.parent / "network.toml").write_text(NETWORK + more)
    c = ("-c", configuration)
    said(fairlane("apply", *c))
    leave = ("isp", "exit", *c, "aurora", "--to", "borealis", "--per-minute", "5")
    unsaid = fairlane(*leave)
    known = (*leave, "--offering", "home-500=polar-100")
    dry = said(fairlane(*known, "--dry-run"))
    nothing = said(fairlane("orders", "list", *c, "--json"))
    moved = said(fairlane(*known))
    again = said(fairlane(*known))
    listed = said(fairlane("orders", "list", *c, "--json")).splitlines()

    assert 1 == unsaid.exit_code
    assert "/offerings/home-500: unknown_offering" in unsaid.output
    assert "1 left, 0 under way, 1 would be placed, 0 refused\n" == dry
    assert "" == nothing
    assert "1 left, 0 under way, 1 placed, 0 refused\n" == moved
    assert "1 left, 1 under way, 0 placed, 0 refused\n" == again
    assert ["exit-aurora-old"] == [json.loads(line)["externalId"] for line in listed]


def test_a_service_that_was_given_up_is_not_brought_back_by_the_file(
    configuration: Path,
) -> None:
    """The network file is applied at each start; what orders changed is theirs."""
    plan = {
        "externalId": "A-9",
        "serviceOrderItem": [
            {"id": "1", "action": "delete", "service": {"id": "old"}},
        ],
    }
    placed = fairlane(
        "orders", "place", "-c", configuration, "--isp", "aurora", "-",
        given=json.dumps(plan),
    )  # fmt: skip
    said(placed)
    database = open_database("sqlite", configuration.parent / "data")
    site = Site(database)
    site.now = 2_000_000_000
    site.run()
    assert {} == site.services()
    database.close()
    applied = said(fairlane("apply", "-c", configuration))

    assert "nothing to change" in applied


@pytest.fixture
def site(tmp_path: Path) -> Any:
    """A small network on SQLite."""
    database = open_database("sqlite", tmp_path)
    migrate(database)
    fill(database)
    yield Site(database)
    database.close()


async def until_ended(site: Site, manager: ProvisioningManager, order_id: str) -> State:
    """Let the manager work until an order has ended."""
    working = asyncio.create_task(manager.run())
    try:
        async with asyncio.timeout(20):
            while True:
                order = await asyncio.to_thread(site.order, order_id)
                if order.ended:
                    return order.state
                await asyncio.sleep(0.02)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


def test_the_loop_asks_parties_and_carries_an_order_to_its_end(site: Site) -> None:
    """Calls go out with their keys; a refusal comes back and fails the order."""
    asked: list[Call] = []

    async def device(call: Call) -> Outcome:
        asked.append(call)
        return Done()

    async def bsp(call: Call) -> Outcome:
        asked.append(call)
        return Done() if call.undo else Refused("sold_out", "no more films")

    order = site.place(body(offering="home-films", device="ont-1"))
    transports = {Kind.DEVICE: device, Kind.BSP: bsp}
    manager = ProvisioningManager(site.provisioning, site.parties.ports(), transports)
    state = asyncio.run(until_ended(site, manager, order.id))

    assert State.FAILED == state
    assert "sold_out" == site.order(order.id).errors[0]["code"]
    assert [(Kind.DEVICE, False), (Kind.BSP, False), (Kind.DEVICE, True)] == [
        (call.kind, call.undo) for call in asked
    ]
    assert ("line1", "filmhouse") == (asked[0].party, asked[1].party)


def test_a_party_without_a_transport_is_trouble_that_says_so(site: Site) -> None:
    """The task waits for its next attempt with the reason."""
    order = site.place(body(offering="home-films", device="ont-1"))
    manager = ProvisioningManager(site.provisioning, site.parties.ports(), {})

    async def look() -> set[str]:
        working = asyncio.create_task(manager.run())
        try:
            async with asyncio.timeout(20):
                while True:
                    found = await asyncio.to_thread(site.order, order.id)
                    reasons = {t.reason for t in found.tasks.values() if t.reason}
                    if len(reasons) == 2:
                        return reasons
                    await asyncio.sleep(0.02)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    assert {
        "no transport for device is configured",
        "no transport for bsp is configured",
    } == asyncio.run(look())


def test_an_idle_manager_begins_no_transaction(site: Site) -> None:
    """The ledger's batches wait for nobody who has nothing to write."""
    begun: list[object] = []
    begun_at_looks: list[int] = []
    event.listen(site.database.write, "begin", begun.append)
    manager = ProvisioningManager(site.provisioning, site.parties.ports(), {})

    async def idle() -> None:
        loop, looked = asyncio.get_running_loop(), asyncio.Event()

        def look(_: object) -> None:
            begun_at_looks.append(len(begun))
            if len(begun_at_looks) == 4:
                loop.call_soon_threadsafe(looked.set)

        event.listen(site.database.read, "begin", look)
        working = asyncio.create_task(manager.run())
        try:
            async with asyncio.timeout(20):
                await looked.wait()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    asyncio.run(idle())
    assert 0 < begun_at_looks[0] == begun_at_looks[-1]


def test_desks_answer_many_at_once_in_their_turn(site: Site) -> None:
    """Forty qualifications and twenty times the same order: one order."""
    qualifications = qualification_desk(site.provisioning, b"")
    orders = order_desk(site.provisioning, site.keys)

    async def ask() -> tuple[list[Any], list[Any]]:
        queries = [Query(actor=AURORA, isp="aurora", line="line1") for _ in range(40)]
        commands = [Command(AURORA, body()) for _ in range(20)]
        return (
            await asyncio.gather(*map(qualifications.ask, queries)),
            await asyncio.gather(*map(orders.ask, commands)),
        )

    answers, placed = asyncio.run(ask())

    assert all(isinstance(one, Qualification) for one in answers)
    assert 40 == len({one.id for one in answers})
    assert all(isinstance(one, Placed) for one in placed)
    assert [1, 1] == [
        len({one.order.id for one in placed}),
        [one.is_new for one in placed].count(True),
    ]


def test_a_desk_turns_away_who_would_wait_too_long() -> None:
    """The queue has a bound, and who is beyond it hears so at once."""
    desk: Desk[int, int] = Desk(lambda numbers: numbers, 10)

    async def flood() -> list[Any]:
        asked = (desk.ask(number) for number in range(WAITING_MAX + 1))
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(flood())

    assert list(range(WAITING_MAX)) == answers[:-1]
    assert isinstance(answers[-1], DeskBusyError)
    assert new_id() != new_id()


def test_devices_are_asked_and_a_dead_letter_is_forced_by_a_command(
    configuration: Path,
) -> None:
    """With a reason that the change log keeps; without one it is no command."""
    more = (
        NETWORK
        + """
[[offering]]
name = "home-ont"
isp = "aurora"
down_kbps = 500_000
up_kbps = 100_000
device = true
"""
    )
    (configuration.parent / "network.toml").write_text(more)
    c = ("-c", configuration)
    said(fairlane("apply", *c))
    sent = json.dumps(body(offering="home-ont", device="ont-1"))
    placed = said(fairlane("orders", "place", *c, "--isp", "aurora", "-", given=sent))
    order_id = placed.split()[0]
    database = open_database("sqlite", configuration.parent / "data")
    site = Site(database)
    site.now = 2_000_000_000
    site.parties.answers["device"] = Trouble("the device is offline")
    site.run(rounds=30, seconds=600)
    device = next(
        task.number
        for task in site.order(order_id).tasks.values()
        if task.kind is Kind.DEVICE
    )
    force = ("orders", "force", *c, order_id, str(device))
    mute = fairlane(*force)
    done = said(fairlane(*force, "--reason", "configured on site"))
    again = fairlane(*force, "--reason", "configured on site")
    site.run()
    asked = said(fairlane("reconcile", *c, "--ask-devices"))
    log = said(fairlane("inventory", "log", *c, "--json"))
    database.close()

    assert 2 == mute.exit_code
    assert f"{order_id} inProgress\n" == done
    assert 1 == again.exit_code
    assert asked.startswith("1 devices are asked")
    assert "configured on site" in [
        json.loads(line)["reason"] for line in log.splitlines()
    ]
