"""A city of many sites and the questions that come from it, for measurements."""

from __future__ import annotations

import random
from typing import Any

from sqlalchemy import insert

from services.actor import Actor
from services.qualification import Query
from storage import network
from storage.database import Database
from storage.provisioning_tables import service_site
from storage.sites import site_row

__all__ = ["ISPS", "fill", "question", "write_network"]

_FIRST = ("Harbour", "Quay", "Mill", "Castle", "Orchard", "Station", "Garden", "Chapel")
_SECOND = ("North", "Upper", "Saint Anne", "Long", "Kings", "Lower", "West", "Market")
_KINDS = ("Street", "Road", "Lane", "Avenue", "Square")
_HOUSES = 200
_SITES_A_NODE = 500
_LINES_A_NODE = 25
ISPS = ("aurora", "borealis", "corona", "dusk")


def _address(number: int) -> str:
    street, house = divmod(number, _HOUSES)
    words = (
        f"{_SECOND[street % 8]} {_FIRST[street // 8 % 8]} {_KINDS[street // 64 % 5]}"
    )
    district = street // 320
    return f"{house + 1} {words}, Town{district}, {10000 + street % 89999}"


def write_network(
    database: Database, objects: dict[tuple[str, str], dict[str, Any]]
) -> None:
    """Write the objects of an empty network at once."""
    with database.write.begin() as connection:
        network.lock_network(connection)
        connection.execute(
            insert(network.network_object),
            [{"kind": k, "name": n, "body": b} for (k, n), b in objects.items()],
        )
        network.apply(connection, [], 0)


def fill(database: Database, sites: int) -> None:
    """Make the city in an empty database, if it is not there yet."""
    with database.read.connect() as connection:
        if network.latest_change(connection) or network.read_network(connection):
            return
    area = {("area", "city"): {"name": "city"}}
    objects: dict[tuple[str, str], dict[str, Any]] = dict(area)
    for place, isp in enumerate(ISPS):
        # Each sells to a quarter of the city: what it holds is not to be the bound.
        objects["isp", isp] = {"name": isp, "open_qualifications": sites}
        prefixes = [f"10.{place * 16}.0.0/12"]
        pool = {"name": f"{isp}-city", "area": "city", "isp": isp, "prefixes": prefixes}
        objects["pool", f"{isp}-city"] = pool
        for down in (100_000, 500_000, 2_000_000):
            name = f"{isp}-{down // 1000}"
            offer = {"name": name, "isp": isp, "down_kbps": down, "up_kbps": 50_000}
            objects["offering", name] = offer
    for node in range(-(-sites // _SITES_A_NODE)):
        name = f"olt{node}"
        objects["node", name] = {"name": name, "area": "city", "ports": 1024}
        for line in range(_LINES_A_NODE):
            site = node * _SITES_A_NODE + line
            called = f"line{site}"
            objects["line", called] = {
                "name": called,
                "area": "city",
                "node": name,
                "site": f"site{site}",
                "circuit_id": f"{name}:{line}",
            }
    write_network(database, objects)
    for start in range(0, sites, 50_000):
        rows = [
            site_row(
                {
                    "name": f"site{number}",
                    "area": "city",
                    "node": f"olt{number // _SITES_A_NODE}",
                    "address": _address(number),
                }
            )
            for number in range(start, min(start + 50_000, sites))
        ]
        with database.write.begin() as connection:
            connection.execute(insert(service_site), rows)


def question(chance: random.Random, sites: int) -> Query:
    """Draw a question: seven in ten have the address as it is, two have a slip in the
    street, one names a line; half ask for one offering, half for all three."""
    isp = chance.choice(ISPS)
    actor = Actor("bench", isp, "rest")
    offerings = (f"{isp}-500",) if chance.random() < 0.5 else ()
    site, kind = chance.randrange(sites), chance.random()
    if kind < 0.1:
        line = site // _SITES_A_NODE * _SITES_A_NODE + site % _LINES_A_NODE
        return Query(actor=actor, isp=isp, line=f"line{line}", offerings=offerings)
    address = _address(site)
    if kind < 0.3:
        letters = list(address)
        street = [i for i in range(address.index(",")) if letters[i].isalpha()]
        letters[chance.choice(street)] = "x"
        address = "".join(letters)
    return Query(actor=actor, isp=isp, address=address, offerings=offerings)
