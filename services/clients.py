"""Clients of the interfaces: OAuth 2.0 client credentials and opaque bearer tokens.

Opaque tokens instead of signed ones, because a token that is looked up can be revoked
(RFC 6749 section 4.4, RFC 6750). Secrets are shown once, when they are made.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final, NamedTuple

from services.actor import NETWORK
from services.principal import OWNERS, SCOPES, Principal, Role, Scope
from storage import clients as repository
from storage.database import Database
from storage.network import has_object

TOKEN_SECONDS: Final = 3600

_SECRET_OCTETS: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_NO_CLIENT: Final = bytes(32)


class Refusal(NamedTuple):
    """Why a client cannot be made or a token not given: a stable code, and words."""

    code: str
    detail: str


class Credentials(NamedTuple):
    """What a new client authenticates with; the secret is nowhere else in clear."""

    client_id: str
    client_secret: str


class Token(NamedTuple):
    """A bearer token, its scopes with spaces between, and its life in seconds."""

    access_token: str
    scope: str
    expires_in: int


def add_client(
    database: Database, *, name: str, role: Role, owner: str | None, now: int
) -> Credentials | Refusal:
    """Make a client of ``role`` for the ISP or BSP ``owner`` (None: the network's)."""
    if not _NAME.fullmatch(name):
        return Refusal("invalid_name", "a name has letters, digits, '.', '_' and '-'")
    kind = OWNERS[role]
    if (kind == NETWORK) != (owner is None):
        whose = {"isp": "an ISP: name it", "bsp": "a BSP: name it"}.get(kind, kind)
        detail = f"a client of role {role} belongs to {whose}"
        return Refusal("invalid_owner", detail)
    made = Credentials(
        f"{name}-{secrets.token_hex(4)}", secrets.token_urlsafe(_SECRET_OCTETS)
    )
    with database.write.begin() as connection:
        if owner is not None and not has_object(connection, kind, owner):
            return Refusal("unknown_owner", f"there is no {kind} {owner!r}")
        if repository.name_taken(connection, name):
            return Refusal("name_taken", f"there is a client {name!r} already")
        repository.add_client(
            connection,
            {
                "client_id": made.client_id,
                "name": name,
                "role": role.value,
                "tenant": owner or NETWORK,
                "secret_sha256": _digest(made.client_secret),
                "created_at": now,
            },
        )
    return made


def issue_token(
    database: Database, client_id: str, client_secret: str, scope: str, now: int
) -> Token | Refusal:
    """Give a token to who knows the secret; ``scope`` "" asks for all of the role's.

    An unknown client costs the same comparison as a wrong secret.
    """
    with database.read.connect() as connection:
        row = repository.find_client(connection, client_id)
    known = _NO_CLIENT if row is None else bytes(row.secret_sha256)
    right = hmac.compare_digest(known, _digest(client_secret))
    if row is None or not right:
        return Refusal("invalid_client", "the client or its secret is not known")
    allowed = SCOPES[Role(row.role)]
    asked = set(scope.split()) if scope else {str(s) for s in allowed}
    if not asked <= {str(s) for s in allowed}:
        return Refusal("invalid_scope", f"a client of role {row.role} has less")
    token = Token(
        secrets.token_urlsafe(_SECRET_OCTETS), " ".join(sorted(asked)), TOKEN_SECONDS
    )
    with database.write.begin() as connection:
        repository.delete_expired_tokens(connection, now)
        repository.add_token(
            connection,
            _digest(token.access_token),
            client_id,
            token.scope,
            now + TOKEN_SECONDS,
        )
    return token


def identify(database: Database, access_token: str, now: int) -> Principal | None:
    """Give who holds a token that is in force, or None."""
    with database.read.connect() as connection:
        row = repository.find_token(connection, _digest(access_token))
    if row is None or row.expires_at <= now:
        return None
    role = Role(row.role)
    scopes = SCOPES[role] & {Scope(word) for word in row.scope.split()}
    return Principal(row.client_id, row.name, role, row.tenant, scopes)


def revoke_client(database: Database, name: str, now: int) -> bool:
    """Revoke a client and every token of it; False when there is none."""
    with database.write.begin() as connection:
        return repository.revoke_client(connection, name, now)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
