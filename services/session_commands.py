"""The CoA port of the provisioning manager: commands for every session of a service."""

from __future__ import annotations

from config.offers import Service
from services import coa
from services.provisioning import Transaction
from storage.service_records import LiveSessions


class SessionCommands:
    """Queues CoA and Disconnect requests in the order's transaction.

    ``class_key`` is what tells our Class attributes from others (``storage.keys``).
    """

    def __init__(self, class_key: bytes) -> None:
        self._class_key = class_key

    def change(self, transaction: Transaction, service: Service, by: str) -> None:
        """Bring the sessions to what the service is entitled to now.

        Most services have none yet when this is asked: then one look is enough.
        """
        users = service.user_names
        known = users and not service.mac_addresses  # by its user names, no other way
        if known and not transaction.together(LiveSessions).signs_of(users):
            return
        transaction.flush()  # it reads the service where everyone else does
        coa.request_coa(
            transaction.connection,
            tenant=service.isp,
            service=service.name,
            requested_by=by,
            class_key=self._class_key,
            now=transaction.now,
        )

    def disconnect(
        self,
        transaction: Transaction,
        service: Service,
        by: str,
        line: str | None = None,
    ) -> None:
        """End the sessions, or those on one line."""
        transaction.flush()
        coa.request_disconnect(
            transaction.connection,
            tenant=service.isp,
            service=service.name,
            requested_by=by,
            class_key=self._class_key,
            now=transaction.now,
            line=line,
        )
