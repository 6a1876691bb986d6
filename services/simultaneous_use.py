"""Which of the places that sessions hold have become free: asked of the sessions.

A place is held from the Access-Accept until accounting shows that its session is over;
the token in Class tells which session that is. A place whose session never began is
free after a while, for a NAS may accept a subscriber and lose him before the Start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from radius import class_token
from storage.access_sessions import sessions_of_users
from storage.access_state import Place

BEGIN_SECONDS = 600
"""Seconds from an Access-Accept to the first accounting, at the most: a Start that is
lost is made up for by the first Interim-Update."""

_CLOCK_SECONDS = 300


class Settled(NamedTuple):
    """Tokens of places that are free, and of those whose session has begun."""

    free: list[bytes]
    begun: list[bytes]


def settle(
    connection: Connection, places: Sequence[Place], *, class_key: bytes, now: int
) -> Settled:
    """Judge places by the sessions in the database; ``now`` in epoch seconds."""
    if not places:
        return Settled([], [])
    since = min(place.taken_at for place in places) - _CLOCK_SECONDS
    states: dict[bytes, str] = {}
    users = {place.user_name for place in places}
    for session in sessions_of_users(connection, users, since):
        token = class_token.find(class_key, session.class_)
        if token is not None:
            states[token.token] = session.state
    free, begun = [], []
    for place in places:
        state = states.get(place.token)
        if state is None:
            if not place.seen and now - place.taken_at > BEGIN_SECONDS:
                free.append(place.token)
        elif state == "closed":
            free.append(place.token)
        elif not place.seen:
            begun.append(place.token)
    return Settled(free, begun)
