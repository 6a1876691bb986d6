"""A process that posts is killed at every statement: nothing is lost or doubled."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from killed import killed_at
from settlement_network import NOVEMBER, UNIT, network

from rating.purchase import Action
from services.catalogue import Catalogue
from services.purchases import Answer, Event, handle
from storage.database import Database, migrate, open_database
from storage.entry_queries import EntryFilter, list_entries
from storage.ledger_proof import prove
from storage.purchases import list_purchases

CATALOGUE = Catalogue(network())
EVENTS = tuple(
    Event(
        event_id=f"{action}-{reference}",
        action=action,
        reference=reference,
        at=NOVEMBER,
        user="aurora-101",
        product="film",
        amount=UNIT if action is Action.REFUND else None,
    )
    for reference, action in (
        ("P-1", Action.AUTHORISE),
        ("P-1", Action.CAPTURE),
        ("P-1", Action.REFUND),
        ("P-2", Action.SALE),
        ("P-3", Action.AUTHORISE),
        ("P-3", Action.CANCEL),
    )
)


def sent(event: Event, database: Database) -> Answer:
    """Send an event of filmhouse."""
    return handle(database, CATALOGUE, "filmhouse", event, NOVEMBER)


def test_a_kill_between_any_two_steps_loses_and_doubles_no_entry(
    database: Database, tmp_path: Path
) -> None:
    """A BSP sends each event to a service that dies at its first statement, then at
    its second, and at last at none: what was bought, booked and answered is what
    would be if nothing had died."""
    (tmp_path / "calm").mkdir()
    calm = open_database("sqlite", tmp_path / "calm")
    migrate(calm)
    for event in EVENTS:
        database.close()
        step = 1
        while killed_at(
            database, partial(sent, event), step, "before_cursor_execute", "commit"
        ):
            step += 1
        assert step > 3, "it was hardly killed"
        told = [(a.state, a.amount, a.denial, a.entry) for a in (
            sent(event, calm), sent(event, database), sent(event, database)
        )]  # fmt: skip
        assert [told[0]] * 3 == told
    assert state_of(calm) == state_of(database)
    calm.close()


def state_of(database: Database) -> tuple[list[object], list[object]]:
    """Give what was bought and booked, but for the numbers of purchases, of which a
    kill may leave one out."""
    with database.read.connect() as connection:
        assert [] == prove(connection).problems
        bought = [
            (p.reference, p.state, p.captured_amount, p.refunded_amount, p.entry_id)
            for p in list_purchases(connection, bsp="filmhouse")
        ]
        entries = [
            (e.id, e.book, e.posting._replace(source_id=None))
            for e, _ in list_entries(connection, EntryFilter())
        ]
    return [*bought], [*entries]
