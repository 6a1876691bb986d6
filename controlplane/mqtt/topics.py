"""The topics of MQTT, in one place: what is heard, what is told.

The ``{isp}`` in a topic is whose business it is. That only this ISP's programs may
publish there is the broker's to see to, by its access list: an MQTT message carries no
sender. Names with ``/``, ``+`` or ``#`` in them are percent-encoded.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote

PREFIX: Final = "fairlane/v1"

ORDERS: Final = f"{PREFIX}/+/orders"
DESIRED: Final = f"{PREFIX}/+/lines/+/desired"
ACKNOWLEDGED: Final = f"{PREFIX}/+/lines/+/device/acknowledgement"
REPORTED: Final = f"{PREFIX}/+/lines/+/device/report"

HEARD: Final = (ORDERS, DESIRED, ACKNOWLEDGED, REPORTED)
"""What this daemon subscribes to."""


def order_state(isp: str, order_id: str) -> str:
    """Give the topic of an order's news."""
    return f"{PREFIX}/{_safe(isp)}/orders/{_safe(order_id)}/state"


def refused(isp: str) -> str:
    """Give the topic of what could not be taken as an order of an ISP."""
    return f"{PREFIX}/{_safe(isp)}/orders/refused"


def actual(isp: str, line: str) -> str:
    """Give the topic of what is so of a line, retained."""
    return f"{PREFIX}/{_safe(isp)}/lines/{_safe(line)}/actual"


def device_command(isp: str, line: str) -> str:
    """Give the topic of a line's device: what it is to do."""
    return f"{PREFIX}/{_safe(isp)}/lines/{_safe(line)}/device/command"


def device_request(isp: str, line: str) -> str:
    """Give the topic of a line's device: that it is to report."""
    return f"{PREFIX}/{_safe(isp)}/lines/{_safe(line)}/device/request"


def order_of(topic: str) -> str | None:
    """Give the ISP of an orders topic; None for any other."""
    match topic.split("/"):
        case ["fairlane", "v1", isp, "orders"]:
            return _named(isp)
    return None


def desired_of(topic: str) -> tuple[str, str] | None:
    """Give the ISP and the line of a desired state's topic; None for any other."""
    match topic.split("/"):
        case ["fairlane", "v1", isp, "lines", line, "desired"]:
            return _named(isp), _named(line)
    return None


def acknowledged_by(topic: str) -> str | None:
    """Give the line whose device acknowledges; None for any other topic."""
    match topic.split("/"):
        case ["fairlane", "v1", _, "lines", line, "device", "acknowledgement"]:
            return _named(line)
    return None


def reported_by(topic: str) -> tuple[str, str] | None:
    """Give the ISP and the line whose device reports; None for any other topic."""
    match topic.split("/"):
        case ["fairlane", "v1", isp, "lines", line, "device", "report"]:
            return _named(isp), _named(line)
    return None


def _named(level: str) -> str:
    """Read a name; U+0000 is in none, and no database looks it up."""
    return unquote(level).replace("\0", "�")


def _safe(name: str) -> str:
    return quote(name, safe=":. @")
