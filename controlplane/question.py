"""What a device, an ISP or a BSP is asked, the same over MQTT and webhooks."""

from __future__ import annotations

from typing import Any

from services.order_manager import Call


def question(call: Call) -> dict[str, Any]:
    """Give the body of a question; ``docs/provisioning.md`` says what is in it."""
    asked = {"key": call.key, "kind": call.kind.value, "undo": call.undo}
    return {**asked, "order": call.order_id, **call.body}
