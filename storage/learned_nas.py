"""Which NAS have been seen to sign, as the nodes tell one another.

A node remembers it by itself (``storage.access_state``), so that access needs no
database; what another node has learned comes by here, a little later.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from sqlalchemy import Connection, select, text

from storage.access_tables import learned_nas


def share(connection: Connection, own: AbstractSet[str], now: int) -> set[str]:
    """Tell what a node has learned, and give what any has; ``now`` in epoch seconds."""
    known = set(connection.scalars(select(learned_nas.c.nas)))
    new = [{"nas": nas, "at": now} for nas in sorted(own - known)]
    if new:
        # Another node may have learned the same meanwhile.
        sql = "INSERT INTO learned_nas (nas, at) VALUES (:nas, :at)"
        connection.execute(text(f"{sql} ON CONFLICT (nas) DO NOTHING"), new)
    return known | own
