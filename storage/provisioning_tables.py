"""Inventory, qualifications, orders, tasks and the outbox of events."""

from __future__ import annotations
