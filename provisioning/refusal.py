"""What is refused says what, where and why; the same on every channel."""

from __future__ import annotations

from typing import NamedTuple


class Refusal(NamedTuple):
    """Why something is not done.

    ``code`` is stable and for programs, ``pointer`` the place in the body as a JSON
    pointer (RFC 6901), "" for the whole; ``reason`` is for people.
    """

    code: str
    pointer: str
    reason: str
