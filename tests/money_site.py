"""A month that is long over, at a site with a database, for the commands of money."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from daemon.cli import main
from rating.purchase import Action
from services.catalogue import Catalogue
from services.purchases import Event, handle
from storage.database import Database, open_database
from storage.sessions import insert_sessions, insert_usage
from storage.tables import SESSION_COLUMNS, USAGE_COLUMNS

MONTH = "2024-03"
BEGAN = int(datetime(2024, 3, 10, 12, tzinfo=UTC).timestamp())
NETWORK = """
[[area]]
name = "harbour"
[[isp]]
name = "aurora"
wholesale = "wholesale"
[[line]]
name = "harbour-101"
area = "harbour"
circuit_id = "ge-0/0/1:101"
[[offering]]
name = "home-500"
isp = "aurora"
down_kbps = 1
up_kbps = 1
tariff = "home"
[[service]]
name = "aurora-101"
isp = "aurora"
line = "harbour-101"
user_names = ["sub101@aurora.example"]
offering = "home-500"
[[bsp]]
name = "filmhouse"
isp_commission = "10"
[[product]]
name = "film"
bsp = "filmhouse"
price = "12.00"
[[meter]]
name = "minutes"
bsp = "filmhouse"
tariff = "films"
unit = "1 min"
[[tax]]
name = "vat"
percent = "25"
[[tariff]]
name = "home"
isp = "aurora"
currency = "EUR"
zone = "UTC"
[[tariff.version]]
valid_from = "2024-01-01"
rate = [{ name = "volume", measure = "sum", price = "0.10", per = "1 GB" }]
[[tariff]]
name = "wholesale"
currency = "EUR"
zone = "UTC"
[[tariff.version]]
valid_from = "2024-01-01"
rate = [{ name = "transit", measure = "sum", price = "0.01", per = "1 GB" }]
[[tariff]]
name = "films"
currency = "EUR"
zone = "UTC"
[[tariff.version]]
valid_from = "2024-01-01"
rate = [{ name = "watched", measure = "seconds", price = "0.02", per = "1 min" }]
"""


class MoneySite:
    """A configuration, its network applied, and three usage records of 1 GB each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "fairlane.toml"
        self.file.write_text(f'data_dir = "{folder}"\n')
        network = folder / "network.toml"
        network.write_text(NETWORK)
        self.out("apply", str(network))
        database = self.database()
        with database.write.begin() as connection:
            insert_sessions(connection, [_session()])
            insert_usage(connection, [_usage(number) for number in (1, 2, 3)])
        database.close()

    def database(self) -> Database:
        """Open its database; who does closes it."""
        return open_database("sqlite", self.folder)

    def run(self, *arguments: str) -> Result:
        """Run a command on its configuration."""
        return CliRunner().invoke(main, [*arguments, "-c", str(self.file)])

    def out(self, *arguments: str) -> str:
        """What a command that succeeds prints."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def facts(self, *arguments: str) -> list[dict[str, Any]]:
        """What a command prints as JSON lines."""
        lines = self.out(*arguments, "--json").splitlines()
        return [json.loads(line) for line in lines]

    def sell_film(self, catalogue: Catalogue, user: str = "aurora-101") -> None:
        """Sell one film of 12.00; one that nobody could be found for is pending."""
        event = Event(
            event_id=f"E-{user}",
            action=Action.SALE,
            reference=f"order-{user}",
            user=user,
            product="film",
            at=BEGAN,
        )
        database = self.database()
        handle(database, catalogue, "filmhouse", event, BEGAN)
        database.close()


def _session() -> tuple[Any, ...]:
    row: dict[str, Any] = dict.fromkeys(SESSION_COLUMNS)
    row |= dict.fromkeys(
        ("input_octets", "output_octets", "input_packets", "output_packets"), 0
    )
    row |= {"id": 1, "nas": "bng1", "nas_identity": "bng1", "seconds": 1800}
    row |= {"acct_session_id": "S-1", "state": "closed", "points": b""}
    row |= {"user_name": "sub101@aurora.example", "started_derived": "reported"}
    row |= {"service": "aurora-101", "guided_by": "user_name", "tenant": "aurora"}
    row |= dict.fromkeys(("started_at", "last_seen_at", "last_arrival_at"), BEGAN)
    return tuple(row.values())


def _usage(number: int) -> tuple[Any, ...]:
    row: dict[str, Any] = dict.fromkeys(USAGE_COLUMNS, 0)
    at = BEGAN + 600 * number
    row |= {"id": number, "session_id": 1, "started_at": at, "ended_at": at + 600}
    row |= {"output_octets": 10**9, "derived": "reported", "records": 1}
    row |= {"tenant": "aurora"}
    return tuple(row.values())
