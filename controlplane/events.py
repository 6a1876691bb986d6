"""An event as its receivers see it, the same over webhooks, REST and MQTT."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from storage.outbox import NumberedEvent


def envelope(event: NumberedEvent) -> dict[str, Any]:
    """Give an event in TM Forum's envelope; ``eventId`` is its number in the feed."""
    return {
        "eventId": str(event.number),
        "eventTime": datetime.fromtimestamp(event.at, UTC).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        ),
        "eventType": event.event.type,
        "event": event.event.body,
    }
