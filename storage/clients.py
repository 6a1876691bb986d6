"""Clients and their tokens as rows; what is secret is here only as a digest.

Every function works in the caller's transaction and raises StorageError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from storage.control_plane_tables import client, token


def add_client(connection: Connection, values: dict[str, Any]) -> None:
    """Insert a client; an IntegrityError says that its name is taken."""
    connection.execute(insert(client).values(values))


def find_client(connection: Connection, client_id: str) -> Row[Any] | None:
    """Give the client that is not revoked, or None."""
    query = select(client).where(
        client.c.client_id == client_id, client.c.revoked_at.is_(None)
    )
    return connection.execute(query).first()


def name_taken(connection: Connection, name: str) -> bool:
    """Tell whether a client, revoked or not, has this name."""
    query = select(client.c.client_id).where(client.c.name == name)
    return connection.execute(query).first() is not None


def list_clients(connection: Connection) -> Sequence[Row[Any]]:
    """Give all clients by name."""
    return connection.execute(select(client).order_by(client.c.name)).all()


def revoke_client(connection: Connection, name: str, at: int) -> bool:
    """Revoke a client and its tokens; False when there is none to revoke."""
    found = connection.execute(
        update(client)
        .where(client.c.name == name, client.c.revoked_at.is_(None))
        .values(revoked_at=at)
        .returning(client.c.client_id)
    ).first()
    if found is None:
        return False
    connection.execute(delete(token).where(token.c.client_id == found.client_id))
    return True


def add_token(
    connection: Connection, sha256: bytes, client_id: str, scope: str, expires_at: int
) -> None:
    """Insert a token by its digest."""
    values = {"client_id": client_id, "scope": scope, "expires_at": expires_at}
    connection.execute(insert(token).values(token_sha256=sha256, **values))


def find_token(connection: Connection, sha256: bytes) -> Row[Any] | None:
    """Give a token with its client (not revoked), or None."""
    query = (
        select(token.c.scope, token.c.expires_at, client)
        .join(client, client.c.client_id == token.c.client_id)
        .where(token.c.token_sha256 == sha256, client.c.revoked_at.is_(None))
    )
    return connection.execute(query).first()


def delete_expired_tokens(connection: Connection, now: int) -> int:
    """Delete what no longer opens anything; gives how many."""
    return connection.execute(delete(token).where(token.c.expires_at <= now)).rowcount
