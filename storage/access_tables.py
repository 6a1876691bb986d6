"""RADIUS access: credentials, CoA commands, what is forwarded to ISPs."""

from __future__ import annotations
