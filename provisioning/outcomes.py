"""How doing or undoing a task can end; the task graph says what follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Done(NamedTuple):
    """It is so. ``before`` is what undo needs to know."""

    before: Mapping[str, Any] | None = None


class Later(NamedTuple):
    """It waits for the network or a person; look again ``at``, in epoch seconds."""

    at: int
    reason: str


class Trouble(NamedTuple):
    """It did not work and may work later: time-out, no answer, a store away."""

    reason: str


class Refused(NamedTuple):
    """It will not work: who was asked said no."""

    code: str
    reason: str


Outcome = Done | Later | Trouble | Refused
