"""A process that posts is killed again and again: nothing is lost, nothing doubled."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from settlement_network import NOVEMBER

from storage.database import Database, migrate, open_database
from storage.entry_queries import EntryFilter, balances, list_entries
from storage.ledger_proof import prove
from storage.purchases import list_purchases

KILLS, KILLS_LONG = 8, 200
PURCHASES = 60
_ROOT = Path(__file__).resolve().parents[2]

_BUYER = """
import sys
from settlement_network import NOVEMBER, UNIT, network
from config.settlement import SpendingLimit
from rating.purchase import Action
from services.catalogue import Catalogue
from services.purchases import Event, handle
from storage.database import open_database

database = open_database(sys.argv[1], sys.argv[2])
catalogue = Catalogue(network(spending_limit=()))
for number in range(int(sys.argv[3])):
    for action in (Action.AUTHORISE, Action.CAPTURE, Action.REFUND):
        event = Event(
            event_id=f"{action}-{number}", action=action, reference=f"P-{number}",
            at=NOVEMBER, user="aurora-101", product="film",
            amount=UNIT if action is Action.REFUND else None,
        )
        answer = handle(database, catalogue, "filmhouse", event, NOVEMBER)
        assert answer.denial is None and not answer.conflict, answer
        print(event.event_id, answer.entry, flush=True)
"""


def _buyer(url: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _BUYER, url, str(folder), str(PURCHASES)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{_ROOT}:{_ROOT / 'tests'}"},
    )


def test_a_kill_between_any_two_steps_loses_and_doubles_no_entry(
    tmp_path: Path, long: bool
) -> None:
    """A BSP sends the same purchases to a service that dies at random moments, until
    one run gets through: each is captured and refunded once, and the ledger is whole.
    What was answered before a kill is what is answered after it."""
    chance = random.Random(9)
    database = open_database("sqlite", tmp_path)
    migrate(database)
    database.close()
    answered: dict[str, str] = {}
    for kill in range((KILLS_LONG if long else KILLS) + 1):
        with _buyer("sqlite", tmp_path) as buyer:
            assert buyer.stdout is not None
            lines = chance.randrange(1, 3 * PURCHASES)
            last = kill == (KILLS_LONG if long else KILLS)
            for at, line in enumerate(buyer.stdout):
                event, _, entry = line.strip().partition(" ")
                if entry:
                    assert answered.setdefault(event, entry) == entry
                if at == lines and not last:
                    time.sleep(chance.random() / 500)  # into the midst of the next
                    buyer.send_signal(signal.SIGKILL)
                    break
        assert buyer.returncode in (0, -signal.SIGKILL)
    _check(open_database("sqlite", tmp_path))


def _check(database: Database) -> None:
    with database.read.connect() as connection:
        proof = prove(connection)
        bought = list(list_purchases(connection, bsp="filmhouse"))
        entries = [e for e, _ in list_entries(connection, EntryFilter())]
        sums = [b.amounts[0] for b in balances(connection, EntryFilter())]
    database.close()
    assert ([], 2 * PURCHASES) == (proof.problems, proof.entries)
    assert {("partly_refunded", 12_000_000, 1_000_000)} == {
        (row.state, row.captured_amount, row.refunded_amount) for row in bought
    }
    assert PURCHASES == len(bought)
    kinds = [(e.book.kind, e.posting.source_id) for e in entries]
    assert sorted(kinds) == sorted(set(kinds))
    assert -11_000_000 * PURCHASES == sum(sums)
    assert {NOVEMBER} == {e.posting.at for e in entries}
