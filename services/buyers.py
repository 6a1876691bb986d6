"""Who a BSP's user was when it used or bought something, which may be told late.

A subscriber that went to another ISP, or left, was the former ISP's customer until
then, and a user name may have been another's: what a BSP tells of then is theirs. The
change feed knows how it was. A service that was added later is taken as it first was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from config.offers import Service
from services.catalogue import Catalogue
from storage.network import States, states_of, touched_since

_HOUR: Final = 3600
_NEVER: Final = 2**62


class Buyers:
    """The subscribers of a catalogue as they were, in one transaction.

    What is of before ``oldest`` (epoch seconds) is of who is there now; a sale is never
    told so late (``rating.purchase.LATE_SECONDS``).
    """

    def __init__(
        self, connection: Connection, catalogue: Catalogue, oldest: int = 0
    ) -> None:
        self._connection = connection
        self._catalogue = catalogue
        self._oldest = oldest
        self._since = _NEVER
        self._added: Mapping[str, int] = {}
        self._touched: Mapping[str, int] = {}
        self._states: dict[str, States] = {}

    def service_of(self, user: str, at: int) -> Service | None:
        """Find the service that had a name, or a user name, at a time."""
        present = self._catalogue.service_of(user)
        if at < self._oldest:
            return present
        if at < self._since:
            # Records come in about the order of their times: it is asked seldom.
            self._since = at - at % _HOUR
            self._added, self._touched = (
                touched_since(self._connection, "service", self._since, actions)
                for actions in (("add",), ("modify", "delete"))
            )
        own = [] if present is None else [present.name]
        changed = self._added, self._touched
        if own and all(some.get(own[0], at) <= at for some in changed):
            return present
        others = [name for name, last in self._touched.items() if last > at]
        for some in (own, others):
            for body in self._then(some, at):
                if _has(body, user):
                    return msgspec.convert(body, Service)
        # Nobody had it then.
        first = self._states[present.name][0][1] if present is not None else None
        if first is not None and _has(first, user):
            return msgspec.convert(first, Service)
        return present

    def _then(self, names: Iterable[str], at: int) -> Iterator[Mapping[str, Any]]:
        wanted = list(names)
        unknown = [name for name in wanted if name not in self._states]
        self._states |= states_of(self._connection, "service", unknown)
        for name in wanted:
            began = [body for since, body in self._states[name] if since <= at]
            if began and began[-1] is not None:
                yield began[-1]


def _has(body: Mapping[str, Any], user: str) -> bool:
    folded = user.casefold()
    return body["name"] == user or any(
        name.casefold() == folded for name in body.get("user_names", ())
    )
