"""A network whose load is rated, and what the ledger must be after it."""

from __future__ import annotations

import time

from e2e.daemon_process import NAS, Daemon

from daemon.commands.stored import network_in
from rating.months import span_at
from services.rerated_usage import own_service
from services.rerating import dry_run
from storage.balances import unrated
from storage.database import open_database
from storage.entry_queries import EntryFilter, list_entries
from storage.ledger_proof import prove

_ZONE = "Europe/Stockholm"
_OCTETS_A_MICRO = 100_000
"""0.01 a gigabyte is a micro-unit for so many octets."""


def rated_network(services: int) -> str:
    """The network file: a service for each of the load's lines, and two tariffs."""
    common = f'currency = "EUR"\nzone = "{_ZONE}"\n'
    begin = '[[tariff.version]]\nvalid_from = "2020-01-01"\n'
    rate = 'rate = [{{ name = "data", measure = "sum", price = "{}", per = "1 GB" }}]\n'
    rows = [
        NAS,
        '[[area]]\nname = "harbour"\n',
        '[[isp]]\nname = "aurora"\nwholesale = "transport"\n',
        f'[[tariff]]\nname = "transport"\n{common}{begin}{rate.format("0.01")}',
        f'[[tariff]]\nname = "home"\nisp = "aurora"\n{common}{begin}',
        rate.format("0.10"),
        'allowance = [{ name = "free", quantity = "50 MB", rates = ["data"] }]\n',
        '[[offering]]\nname = "home"\nisp = "aurora"\ntariff = "home"\n',
        "down_kbps = 1000\nup_kbps = 1000\n",
    ]
    for number in range(services):
        rows.append(f'[[line]]\nname = "line-{number}"\narea = "harbour"\n')
        rows.append(f'circuit_id = "line:{number}"\n')
        rows.append(f'[[service]]\nname = "service-{number}"\nisp = "aurora"\n')
        rows.append(f'line = "line-{number}"\noffering = "home"\n')
        rows.append(f'user_names = ["subscriber-{number}"]\n')
    return "".join(rows)


def check_money(daemon: Daemon, services: int) -> None:
    """Hold the ledger against the usage: it is whole, each octet is booked once, and
    rating everything again in one process without a crash gives the same."""
    database = open_database(daemon.database, daemon.data_dir)
    try:
        with database.read.connect() as connection:
            assert [] == list(prove(connection).problems)
            assert [] == unrated(connection, 0, 10)
            network = network_in(connection)
            entries = [e for e, _ in list_entries(connection, EntryFilter())]
        transported = sum(e.posting.network_amount for e in entries)
        octets = sum(u["input_octets"] + u["output_octets"] for u in daemon.usage())
        # A run over the end of a month is rounded in both.
        assert abs(transported * _OCTETS_A_MICRO - octets) <= _OCTETS_A_MICRO
        assert {f"service-{n}" for n in range(services)} == {
            e.posting.service for e in entries
        }
        now = int(time.time())
        for month in {span_at(_ZONE, at).month for at in (now - 172_800, now)}:
            result = dry_run(database, network, own_service, month)
            assert (0, []) == (result.unrated, result.differences())
    finally:
        database.close()
