"""The signature of a webhook, in the form of the Standard Webhooks specification.

``webhook-id`` names the event and is the receiver's key against repetition,
``webhook-timestamp`` bounds replay, and ``webhook-signature`` is HMAC-SHA256 over both
and the body.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with, not one


def shown(secret: bytes) -> str:
    """Give a secret in the form in which receivers are told it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def headers(secret: bytes, event_id: str, body: bytes, now: int) -> dict[str, str]:
    """Give the headers that sign ``body`` at ``now`` (epoch seconds)."""
    signed = f"{event_id}.{now}.".encode() + body
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
