"""Provisioning as one process has it: database, keys, ports, put together once."""

from __future__ import annotations

import secrets
from typing import Final

from config.schema import Settings
from services.adapters import Ports
from services.credentials import NONCE_OCTETS, seal_password
from services.orders import Keys
from services.session_commands import SessionCommands
from services.subscriptions import Subscriptions
from storage.keys import load_keys

_ID_OCTETS: Final = 12


def new_id() -> str:
    """Draw an id that nobody guesses, for orders, qualifications and leads."""
    return secrets.token_hex(_ID_OCTETS)


def order_keys(settings: Settings) -> Keys:
    """Make the keys that orders are taken with; raises KeyFileError."""
    site = load_keys(settings)

    def seal(isp: str, service: str, password: str) -> str:
        nonce = secrets.token_bytes(NONCE_OCTETS)
        return seal_password(
            site.credentials, isp=isp, service=service, password=password, nonce=nonce
        )

    return Keys(seal, site.order_digests, site.line_tokens)


def ports(settings: Settings) -> Ports:
    """Put together what tasks need of access and rating; raises KeyFileError."""
    commands = SessionCommands(load_keys(settings).class_tokens)
    return Ports(coa=commands, rating=Subscriptions())
