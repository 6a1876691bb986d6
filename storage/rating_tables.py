"""Rated usage, balances and what is waiting to be rated."""

from __future__ import annotations
