"""What is promised and not yet used: holds of ports and addresses, and their sums.

A promise is one owner's (a qualification's or an order's) on one resource. The sums are
kept with them in the same transaction, so that a decision reads one row and not all
promises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, select

from storage import at_once
from storage.among import among
from storage.at_once import Change, Rows
from storage.looked_up import LookedUp
from storage.provisioning_tables import held, hold


class Hold(NamedTuple):
    """One promise: whose, of what, how much, and for which tenant."""

    owner: str
    resource: str
    quantity: int
    tenant: str


SUMS: Final = Rows(
    select(held.c.resource, held.c.quantity).where(among(held.c.resource))
)
_OF: Final = Rows(
    select(*(hold.c[name] for name in Hold._fields)).where(among(hold.c.owner))
)
_DELETE: Final = Change(delete(hold).where(among(hold.c.owner)))


class Held(LookedUp[str, int]):
    """How much of each resource is held."""

    def read(self, keys: list[str]) -> Mapping[str, int]:
        """Read from the database."""
        return dict(map(tuple, SUMS.read(self.connection, {"keys": keys})))

    def sums(self, resources: Iterable[str]) -> Counter[str]:
        """Give the sums of these resources, to be counted on."""
        wanted = set(resources)
        self.look_ahead(wanted)
        return Counter({key: self.known[key] or 0 for key in wanted})


def holds_of(connection: Connection, owners: Iterable[str]) -> list[Hold]:
    """Give the promises of these owners."""
    keys = sorted(set(owners))
    return [Hold(*row) for row in _OF.read(connection, {"keys": keys})] if keys else []


def change(
    connection: Connection, *, made: Sequence[Hold] = (), gone: Sequence[Hold] = ()
) -> None:
    """Write and take away promises, and their sums with them."""
    if gone:
        _DELETE.make(connection, {"keys": sorted({one.owner for one in gone})})
    at_once.insert(connection, hold, [one._asdict() for one in made])
    more: Counter[str] = Counter()
    for one in made:
        more[one.resource] += one.quantity
    for one in gone:
        more[one.resource] -= one.quantity
    at_once.add_up(connection, held, more)
