"""What is promised and not yet used: holds of ports and addresses, and their sums.

A promise is one owner's (a qualification's or an order's) on one resource. The sums are
kept with them in the same transaction, so that a decision reads one row and not all
promises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, select, text

from storage import bulk
from storage.among import among
from storage.looked_up import LookedUp
from storage.provisioning_tables import held, hold


class Hold(NamedTuple):
    """One promise: whose, of what, how much, and for which tenant."""

    owner: str
    resource: str
    quantity: int
    tenant: str


_SUMS: Final = select(held.c.resource, held.c.quantity).where(among(held.c.resource))
_OF: Final = select(
    hold.c.owner, hold.c.resource, hold.c.quantity, hold.c.tenant
).where(among(hold.c.owner))
_DELETE: Final = delete(hold).where(hold.c.owner == bindparam("gone"))
_ADD: Final = text(
    "INSERT INTO held (resource, quantity) VALUES (:resource, :more)"
    " ON CONFLICT (resource) DO UPDATE SET quantity = held.quantity + :more"
)


class Held(LookedUp[str, int]):
    """How much of each resource is held."""

    def read(self, keys: list[str]) -> Mapping[str, int]:
        """Read from the database."""
        rows = self.connection.execute(_SUMS, {"keys": keys})
        return {row.resource: row.quantity for row in rows}

    def sums(self, resources: Iterable[str]) -> Counter[str]:
        """Give the sums of these resources, to be counted on."""
        wanted = set(resources)
        self.look_ahead(wanted)
        return Counter({key: self.known[key] or 0 for key in wanted})


def holds_of(connection: Connection, owners: Iterable[str]) -> list[Hold]:
    """Give the promises of these owners."""
    keys = sorted(set(owners))
    rows = connection.execute(_OF, {"keys": keys}) if keys else ()
    return [Hold(*row) for row in rows]


def change(
    connection: Connection, *, made: Sequence[Hold] = (), gone: Sequence[Hold] = ()
) -> None:
    """Write and take away promises, and their sums with them."""
    if gone:
        owners = sorted({one.owner for one in gone})
        connection.execute(_DELETE, [{"gone": owner} for owner in owners])
    bulk.insert(connection, hold, Hold._fields, made)
    more: Counter[str] = Counter()
    for one in made:
        more[one.resource] += one.quantity
    for one in gone:
        more[one.resource] -= one.quantity
    changed = [{"resource": key, "more": n} for key, n in sorted(more.items()) if n]
    if changed:
        connection.execute(_ADD, changed)
