"""Clients of the interfaces, their tokens, idempotency keys and webhooks."""

from __future__ import annotations
