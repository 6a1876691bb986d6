"""Sessions given their services, of the network as it was when they began.

A session is guided when it begins, again when it says more, and once for each change of
the network while nothing named a service and it is used. What is behind its reports is
looked up here; ``rating.guiding`` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Row

from config.network import Network
from radius import class_token
from radius.accounting import Description
from rating.guiding import Guide, Guided
from rating.mediation import Changes
from rating.session import Session
from services.earlier_states import EarlierStates
from services.former_holders import FormerHolders, own_addresses
from storage.lease_lines import any_lease, line_at
from storage.rerating import sessions_by_id


class SessionGuiding:
    """Guides sessions; what it says of one is written by who calls.

    ``class_key`` is what ``radius.class_token`` signs with; without one no Class is
    taken for ours. A session is the ISP's that its service had when it began.
    """

    def __init__(self, class_key: bytes | None, states: EarlierStates) -> None:
        self._class_key = class_key
        self._states = states
        self._holders = FormerHolders()
        self._read: Connection | None = None
        self._connection: Connection | None = None
        self._network_number = 0
        self._any_service = False
        self._guide = self._guide_of(Network(), {})

    def know(
        self, network: Network, objects: Mapping[tuple[str, str], Mapping[str, Any]]
    ) -> None:
        """Take the network, and its objects by kind and name, between two batches."""
        self._holders.know(objects)
        self._network_number += 1
        self._any_service = bool(network.service)
        self._guide = self._guide_of(network, own_addresses(objects))

    def _guide_of(self, network: Network, own_addresses: Mapping[str, str]) -> Guide:
        return Guide(
            network,
            read_class=self._read_class,
            own_addresses=own_addresses,
            line_of=self._line_of,
        )

    def _line_of(self, address: str, at: int) -> str | None:
        leases = self._connection
        return None if leases is None else line_at(leases, address, at)

    def _read_class(self, value: bytes) -> str | None:
        if self._class_key is None:
            return None
        token = class_token.read(self._class_key, value)
        return None if token is None else token.service

    def late(self, changes: Changes) -> list[Session]:
        """Give the sessions that were used, have no service, and were last looked for
        in an older network; those that begin or say more are guided anyhow."""
        number = self._network_number
        fresh = {session.id for some in changes[:2] for session in some}
        found = {
            session.id: session
            for session in changes.used
            if session.service is None
            and session.tried != number
            and session.id not in fresh
        }
        return list(found.values())

    def guide(
        self,
        read: Callable[[], AbstractContextManager[Connection]],
        changes: Changes,
        late: Sequence[Session],
    ) -> list[Session]:
        """Give sessions their services: new ones, those that say more than before, and
        ``late`` ones, which are in the database; give the late ones that were guided.

        ``read`` opens a connection, if there is anything to look up.
        """
        wanted = [
            session
            for some in (changes.begun, changes.described)
            for session in some
            if session.service is None
        ]
        if not wanted and not late:
            return []
        with read() as connection:
            self.look_up_in(connection)
            for session in wanted:
                assert session.description is not None
                self.guide_one(session, session.description)
            by_id = {session.id: session for session in late}
            for row in sessions_by_id(connection, sorted(by_id)):
                self.guide_one(by_id[row.id], description_of(row))
        self._connection = self._read = None
        return list(by_id.values())

    def look_up_in(self, connection: Connection) -> None:
        """Look up in a transaction what services were, and leases if there are any."""
        self._states.follow(connection)
        self._holders.follow(connection, self._states.number)
        self._read = connection
        leases = self._any_service and any_lease(connection)
        self._connection = connection if leases else None

    def guide_one(self, session: Session, description: Description) -> None:
        """Say in a session whose it is, or why nobody's."""
        session.tried = self._network_number
        assert self._read is not None
        found = self._holders.guide(
            self._read,
            self._guide,
            self._guide_of,
            session.nas,
            description,
            session.started_at,
        )
        if isinstance(found, Guided):
            session.service = found.service
            session.tenant = self._states.isp_at(
                self._read, found.service, session.started_at + 1, found.isp
            )
            session.guided_by = found.by.value
        else:
            session.guided_by = found.value


def description_of(row: Row[Any]) -> Description:
    """Give what a session's row says of the subscriber."""
    return Description._make(getattr(row, name) for name in Description._fields)
