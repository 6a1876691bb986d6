"""Provisioning as one process has it: database, keys, ports, put together once."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from config.schema import Settings
from controlplane.desk import Desk
from daemon import clock
from provisioning.refusal import Refusal
from services.adapters import Ports
from services.credentials import NONCE_OCTETS, seal_password
from services.order_assessment import Keys
from services.orders import BATCH as ORDERS
from services.orders import Command, Placed, place_all
from services.provisioning import Provisioning
from services.qualification import BATCH as QUALIFICATIONS
from services.qualification import Qualification, Query, qualify
from services.session_commands import SessionCommands
from services.subscriptions import Subscriptions
from storage.keys import load_keys

_ID_OCTETS: Final = 12


def new_id() -> str:
    """Draw an id that nobody guesses, for orders, qualifications and leads.

    It begins with the time, to the microsecond: new rows are then the last in every
    index by id, and a commit writes few pages of it where random ids touch one a row.
    """
    now = clock.now()
    return f"{int(now):08x}{int(now % 1 * 1e6):05x}{secrets.token_hex(_ID_OCTETS)}"


def order_keys(settings: Settings, *, make: bool = False) -> Keys:
    """Give the keys that orders are taken with; raises KeyFileError.

    With ``make`` they are made where there are none: for the daemon alone.
    """
    site = load_keys(settings, make=make)

    def seal(isp: str, service: str, password: str) -> str:
        nonce = secrets.token_bytes(NONCE_OCTETS)
        return seal_password(
            site.credentials, isp=isp, service=service, password=password, nonce=nonce
        )

    return Keys(seal, site.order_digests, site.line_tokens)


def ports(settings: Settings, *, make: bool = False) -> Ports:
    """Put together what tasks need of access and rating; raises KeyFileError."""
    commands = SessionCommands(load_keys(settings, make=make).class_tokens)
    return Ports(coa=commands, rating=Subscriptions())


def qualification_desk(
    provisioning: Provisioning, token_key: bytes
) -> Desk[Query, Qualification | Refusal]:
    """Make the desk that answers qualifications together."""

    def answer(queries: Sequence[Query]) -> list[Qualification | Refusal]:
        with provisioning.transaction(int(clock.now()), later=True) as transaction:
            return qualify(transaction, queries, new_id=new_id, token_key=token_key)

    return Desk(answer, QUALIFICATIONS, provisioning.confirm)


def order_desk(
    provisioning: Provisioning, keys: Keys
) -> Desk[Command, Placed | list[Refusal]]:
    """Make the desk that takes orders together."""

    def answer(commands: Sequence[Command]) -> list[Placed | list[Refusal]]:
        with provisioning.transaction(int(clock.now())) as transaction:
            return place_all(transaction, commands, keys=keys, new_id=new_id)

    return Desk(answer, ORDERS)
