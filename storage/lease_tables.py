"""Leases and their history: who holds an address, and who had it when."""

from __future__ import annotations
