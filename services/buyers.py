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
from rating.purchase import LATE_SECONDS
from services.catalogue import Catalogue
from storage.network import States, states_of, touched_since

_HOUR: Final = 3600


class Buyers:
    """The subscribers of a catalogue as they were, in one transaction.

    What is told later than ``rating.purchase.LATE_SECONDS`` is of who is there now.
    """

    def __init__(self, connection: Connection, catalogue: Catalogue, now: int) -> None:
        self._connection = connection
        self._catalogue = catalogue
        self._oldest = now - LATE_SECONDS
        self._since = now + LATE_SECONDS
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
            self._touched = touched_since(self._connection, "service", self._since)
        name = None if present is None else present.name
        if name is not None and self._touched.get(name, at) <= at:
            return present
        names = [name] if name is not None else []
        others = (other for other, last in self._touched.items() if last > at)
        for some in (names, others):
            for body in self._then(some, at):
                if _has(body, user):
                    return msgspec.convert(body, Service)
        return present

    def _then(self, names: Iterable[str], at: int) -> Iterator[Mapping[str, Any]]:
        wanted = list(names)
        unknown = [name for name in wanted if name not in self._states]
        self._states |= states_of(self._connection, "service", unknown)
        for name in wanted:
            states = self._states[name]
            began = [body for since, body in states if since <= at]
            body = began[-1] if began else states[0][1]
            if body is not None:
                yield body


def _has(body: Mapping[str, Any], user: str) -> bool:
    folded = user.casefold()
    return body["name"] == user or any(
        name.casefold() == folded for name in body.get("user_names", ())
    )
