"""An event as its receivers see it, the same over webhooks, REST and MQTT."""

from __future__ import annotations

from typing import Any

from config.moment import moment
from storage.outbox import NumberedEvent


def envelope(event: NumberedEvent) -> dict[str, Any]:
    """Give an event in TM Forum's envelope; ``eventId`` is its number in the feed."""
    return {
        "eventId": str(event.number),
        "eventTime": moment(event.at),
        "eventType": event.event.type,
        "event": event.event.body,
    }
