"""Ledger entries and their legs, purchases, periods and statements."""

from __future__ import annotations
