"""What is promised and not yet used: holds of ports and addresses, and their sums.

A promise is one owner's (a qualification's or an order's) on one resource. The sums are
kept with them in the same transaction, so that a decision reads one row and not all
promises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from storage.looked_up import AT_ONCE, LookedUp
from storage.provisioning_tables import held, hold


class Hold(NamedTuple):
    """One promise: whose, of what, how much, and for which tenant."""

    owner: str
    resource: str
    quantity: int
    tenant: str


_SUMS: Final = select(held.c.resource, held.c.quantity).where(
    held.c.resource.in_(bindparam("keys", expanding=True))
)
_OF: Final = select(
    hold.c.owner, hold.c.resource, hold.c.quantity, hold.c.tenant
).where(hold.c.owner.in_(bindparam("keys", expanding=True)))
_DELETE: Final = delete(hold).where(hold.c.owner == bindparam("gone"))
_PUT: Final = insert(hold)
_NEW: Final = insert(held)
_ADD: Final = (
    update(held)
    .where(held.c.resource == bindparam("which"))
    .values(quantity=held.c.quantity + bindparam("more"))
)


def _parts(keys: Iterable[str]) -> Iterable[list[str]]:
    listed = sorted(set(keys))
    for start in range(0, len(listed), AT_ONCE):
        yield listed[start : start + AT_ONCE]


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
    found = []
    for keys in _parts(owners):
        found += [Hold(*row) for row in connection.execute(_OF, {"keys": keys})]
    return found


def change(
    connection: Connection, *, made: Sequence[Hold] = (), gone: Sequence[Hold] = ()
) -> None:
    """Write and take away promises, and their sums with them."""
    if gone:
        owners = sorted({one.owner for one in gone})
        connection.execute(_DELETE, [{"gone": owner} for owner in owners])
    if made:
        connection.execute(_PUT, [one._asdict() for one in made])
    more: Counter[str] = Counter()
    for one in made:
        more[one.resource] += one.quantity
    _begin(connection, more)
    for one in gone:
        more[one.resource] -= one.quantity
    changed = [{"which": key, "more": n} for key, n in sorted(more.items()) if n]
    if changed:
        connection.execute(_ADD, changed)


def _begin(connection: Connection, more: Mapping[str, int]) -> None:
    """Make the sums that are not there yet."""
    known: set[str] = set()
    for keys in _parts(more):
        known |= {row[0] for row in connection.execute(_SUMS, {"keys": keys})}
    new = [{"resource": key, "quantity": 0} for key in sorted(more.keys() - known)]
    if new:
        connection.execute(_NEW, new)
