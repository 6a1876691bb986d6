"""Whose a user name, a circuit, a line or an address was when a session began.

Use comes late, and is guided late: by then the name may be another's. A session is of
whom the network of its own time names, and where that names nobody, of whom the first
later network does: that is what it is given where each network is looked at as it comes
to be. The change feed knows them all. Where none of them does, it is as the network
says that the ledger knows, which may be some seconds behind.

Nearly no session began before what concerns it was changed, and then nothing is looked
up but that. What was changed lately is in memory, and of what was changed longer ago as
much as the oldest session needs; whatever was only added is known by its time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from itertools import accumulate
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from config.network import Network, network_of
from radius.accounting import Description
from rating.guiding import Guide, Guided, GuidedBy, Key, Unguided, keys_of
from storage.network import (
    States,
    changes_since,
    states_of,
    touched_since,
)

OWN_ADDRESSES: Final = (
    "framed_ip_address",
    "framed_ipv6_prefix",
    "delegated_ipv6_prefix",
)
"""What of a service says an address that is always its own."""

_KINDS: Final = ("service", "line", "nas")
_NEVER: Final = 2**62
_DAY: Final = 86_400
_RECENT: Final = 1000
"""Changes before the ledger's start that its network may not have yet."""

_FURTHEST: Final = 92 * _DAY
"""Seconds before the latest change that are looked back at: a NAS may say that a
session began any time ago."""

_KEPT: Final = 200_000
"""Objects in memory; beyond, only the latest are kept."""

Name = tuple[str, str]
"""An object's kind and name."""

MakeGuide = Callable[[Network, Mapping[str, str]], Guide]
"""Makes the guide of a network, and of the services that addresses always are."""


def own_addresses(objects: Mapping[Name, Mapping[str, Any]]) -> dict[str, str]:
    """Give the services of a network's objects by the addresses that are their own."""
    return {
        str(body[key]): name
        for (kind, name), body in objects.items()
        if kind == "service"
        for key in OWN_ADDRESSES
        if body.get(key) is not None
    }


class FormerHolders:
    """What sessions are guided by, as it was; ``know``, and then ``follow`` before each
    batch."""

    def __init__(self) -> None:
        self._number = -1
        self._since = _NEVER
        self._newest = -1
        self._ever: dict[Name, States] = {}
        self._had: dict[Key, set[Name]] = {}
        self._added: dict[Name, int] = {}
        self._behind: set[Name] = set()
        self._objects: Mapping[Name, Mapping[str, Any]] = {}

    def know(self, objects: Mapping[Name, Mapping[str, Any]]) -> None:
        """Take a network's objects by kind and name, between two batches."""
        self._objects = objects
        self._behind = {name for name in self._ever if self._lacks(name)}

    def follow(self, connection: Connection, latest: int) -> None:
        """Learn what was changed since the last time, up to the latest change."""
        if latest == self._number:
            return
        if self._number < 0 or len(self._ever) > _KEPT:
            self._ever, self._had, self._added = {}, {}, {}
            self._behind = set()
            self._number = max(latest - _RECENT, 0)
            before = changes_since(connection, self._number - 1, 1)
            self._since = before[0].at + 1 if self._number and before else -1
        while changes := changes_since(connection, self._number, _RECENT):
            self._number = changes[-1].number
            self._load(connection, {(c.change.kind, c.change.name) for c in changes})

    def _load(self, connection: Connection, names: Collection[Name]) -> None:
        for kind in _KINDS:
            own = sorted(name for of, name in names if of == kind)
            for name, states in states_of(connection, kind, own).items():
                ever = _in_order(states)
                self._ever[kind, name] = ever
                self._newest = max(self._newest, ever[-1][0])
                if self._lacks((kind, name)):
                    self._behind.add((kind, name))
                for _, body in ever:
                    for key in _keys(kind, body) if body is not None else ():
                        self._had.setdefault(key, set()).add((kind, name))

    def _lacks(self, name: Name) -> bool:
        has, last = self._objects.get(name), self._ever[name][-1][1]
        # The same may be a list in one of them and a tuple in the other.
        return has != last and _text(has) != _text(last)

    def _reach(self, connection: Connection, at: int) -> None:
        """Learn what was changed since a time; further back at once, as sessions that
        are late are seldom alone."""
        at = max(at, self._newest - _FURTHEST)
        if at >= self._since:
            return
        self._since = at - max(_DAY, min(self._since, at + 31 * _DAY) - at)
        for kind in _KINDS:
            changed = touched_since(connection, kind, self._since, ("modify", "delete"))
            new = {(kind, name) for name in changed} - self._ever.keys()
            self._load(connection, new)
            for name, added in touched_since(
                connection, kind, self._since, ("add",)
            ).items():
                if (kind, name) not in self._ever:
                    self._added[kind, name] = added
                    self._newest = max(self._newest, added)

    def guide(
        self,
        connection: Connection,
        present: Guide,
        make: MakeGuide,
        nas: str,
        session: Description,
        at: int,
    ) -> Guided | Unguided:
        """Find the service of a session that a NAS reported, as of a time; ``present``
        is the guide of the network as it is."""
        found = present.guide(nas, session, at)
        if at >= self._newest and not self._behind:
            return found  # which is nearly always
        self._reach(connection, at)
        if self._is_certain(present, nas, session, at, found):
            return found
        names = self._concerned(present, nas, session, at)
        moments = {since for name in names for since, _ in self._states(name)}
        for moment in (at, *sorted(m for m in moments if m > at)):
            bodies = {
                name: body
                for name in names
                if (body := self._body(name, moment)) is not None
            }
            then = make(network_of(bodies), own_addresses(bodies))
            named = then.guide(nas, session, at)
            if isinstance(named, Guided):
                return named
        return found

    def _is_certain(
        self,
        present: Guide,
        nas: str,
        session: Description,
        at: int,
        found: Guided | Unguided,
    ) -> bool:
        """Say whether nothing that names a session has changed since it began."""
        if session.class_ is not None:
            token = present.services_of_class(session.class_)
            if any(self._changed(("service", name), at) for name in token):
                return False
        if isinstance(found, Guided):
            if found.by is GuidedBy.CLASS:
                return True
            if found.by is GuidedBy.USER_NAME:
                assert session.user_name is not None
                named = self._had.get(("name", session.user_name.casefold()), ())
                return not self._changed(("service", found.service), at) and not any(
                    self._changed(name, at) for name in named
                )
        concerned = self._concerned(present, nas, session, at)
        return not any(self._changed(name, at) for name in concerned)

    def _concerned(
        self, present: Guide, nas: str, session: Description, at: int
    ) -> set[Name]:
        """Give all objects that have what a session reports, or ever had."""
        found: set[Name] = {("nas", nas)}
        found |= {
            ("service", name) for name in present.services_of_class(session.class_)
        }
        keys = [*keys_of(session)]
        keys += [("line", line) for line in present.lines_of(session, at)]
        for key in keys:  # which grow by the lines of circuits
            names = {*present.having(key), *self._had.get(key, ())}
            keys += [("line", name) for kind, name in names - found if kind == "line"]
            found |= names
        return found

    def _changed(self, name: Name, at: int) -> bool:
        ever = self._ever.get(name)
        if ever is None:
            return self._added.get(name, -1) > at
        return name in self._behind or ever[-1][0] > at

    def _states(self, name: Name) -> States:
        ever = self._ever.get(name)
        if ever is not None:
            return ever
        return [(self._added.get(name, -1), self._objects.get(name))]

    def _body(self, name: Name, at: int) -> Mapping[str, Any] | None:
        found = None
        for since, body in self._states(name):
            if since > at:
                break
            found = body
        return found


_text: Final = partial(msgspec.json.encode, order="deterministic")


def _in_order(states: States) -> States:
    """Give what an object was by times that never fall: a clock may be put back."""
    times = accumulate((at for at, _ in states), max)
    return [(at, body) for at, (_, body) in zip(times, states, strict=True)]


def _keys(kind: str, body: Mapping[str, Any]) -> Iterator[Key]:
    """Give what a session may report of an object."""
    if kind == "service":
        for name in body.get("user_names", ()):
            yield "name", name.casefold()
        for key in ("line", "former_line"):
            if body.get(key) is not None:
                yield "line", body[key]
        for key in OWN_ADDRESSES:
            if body.get(key) is not None:
                yield "address", str(body[key])
    elif kind == "line":
        for key in ("circuit_id", "remote_id"):
            if body.get(key) is not None:
                yield key, body[key]
