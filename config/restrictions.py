"""What a service may not have for now, because an allowance of it is used up.

A restriction is an object of the change feed beside the network's own, so that every
role learns of it as fast as of a service; it is no part of the network file, which
neither makes nor takes it away. It has the name of its service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from config.row import Kbps, Row

KIND: Final = "restriction"


class Restriction(Row, frozen=True, kw_only=True):
    """What the service of this name gets instead of what it has; ``until`` is in epoch
    seconds, when its allowance begins anew."""

    name: str
    isp: str
    action: Literal["throttle", "walled_garden", "block"]
    down_kbps: Kbps | None = None
    up_kbps: Kbps | None = None
    until: int
    tariff: str | None = None
    """The tariff whose allowance it is: of another one the service has its own."""
    event: int
    """The number of the quota event that asked for it."""


def connected(
    objects: Mapping[tuple[str, str], Mapping[str, Any]],
) -> Mapping[tuple[str, str], Mapping[str, Any]]:
    """Give the objects without the services that get no more than a walled garden: to
    who gives out addresses, their lines have none."""
    shut = {
        name
        for (kind, name), body in objects.items()
        if kind == KIND and body["action"] != "throttle"
    }
    if not shut:
        return objects
    return {
        (kind, name): body
        for (kind, name), body in objects.items()
        if kind != "service" or name not in shut
    }
