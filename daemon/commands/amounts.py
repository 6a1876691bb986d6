"""Money as people read it: micro-units with a decimal point, and back."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


def decimal_of(micro: int) -> str:
    """Write micro-units as a decimal with two places at least: 12.34, -0.001234."""
    whole, part = divmod(abs(micro), 1_000_000)
    places = f"{part:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if micro < 0 else ''}{whole}.{places}"


def micro_of(text: str) -> int:
    """Read a decimal, which may be negative, as micro-units; ValueError if none."""
    try:
        micro = Decimal(text.strip()) * 1_000_000
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no amount") from error
    if not micro.is_finite() or micro != micro.to_integral_value():
        raise ValueError(f"{text!r} is no amount of at most 6 decimals")
    return int(micro)
