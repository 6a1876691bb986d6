"""The demo: one subscriber's story, told to a running daemon through its sockets.

Each part plays a party of the network, says what it sends, what comes back and what
that means, and checks it: where anything is not as it should be, the story ends there
and says so. Run by ``script/server``, or alone against a daemon that runs the demo's
configuration: ``python -m daemon.demo``.
"""

from __future__ import annotations

from pathlib import Path

import click

from daemon import demo_addresses, demo_money, demo_orders, demo_session
from daemon.commands.options import configuration_option, fail, load_or_exit
from daemon.demo_telling import StoryError, say
from daemon.preparation import Plan
from daemon.stores import StoreError

CONFIGURATION = Path(__file__).parent.parent / "config" / "demo.toml"


def tell(plan: Plan) -> None:
    """Play the story and print it; raises StoryError where it goes wrong."""
    _part("A line's first lease")
    demo_addresses.tell_leases(plan)
    _part("A pool that runs out")
    demo_addresses.tell_over_allocation(plan)
    _part("Two orders")
    demo_orders.tell(plan, plan.settings.mqtt.url)
    _part("A session")
    session = demo_session.tell(plan)
    _part("A purchase")
    demo_money.tell_purchase(plan)
    _part("The bill, and the settlement")
    demo_money.tell_bill(plan, session)


def _part(title: str) -> None:
    say("", title, "-" * len(title))


@click.command()
@configuration_option
def main(configuration: Path | None) -> None:
    """Play one subscriber's story against the daemon that runs."""
    plan = load_or_exit(configuration or CONFIGURATION)
    try:
        tell(plan)
    except (StoryError, StoreError, OSError) as error:
        fail(f"the story did not go as it should: {error}")


if __name__ == "__main__":
    main()
