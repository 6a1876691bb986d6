"""Blocks, over-allocation requests, loans, and the commands that steer them."""

from __future__ import annotations
