"""What client software tells of the subscriber's side: system, adapter, modem, and its
own checks.

It is kept with the answer, for whoever helps the subscriber later. It changes no
answer, for what a program says of itself is not proven; what may be in the way is told
with it.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from provisioning.qualification import Reason

CHECKS: Final = 20

_Text = Annotated[str, Meta(max_length=100)]


class Check(Struct, frozen=True):
    """One check that the program made."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    ok: bool
    detail: _Text = ""


class Equipment(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The subscriber's machine and modem, as the program sees them."""

    system: _Text = ""
    adapter: _Text = ""
    modem_mac: _Text = ""
    modem_model: _Text = ""
    modem_serial: _Text = ""
    checks: Annotated[tuple[Check, ...], Meta(max_length=CHECKS)] = ()


def cautions(equipment: Equipment | None) -> tuple[Reason, ...]:
    """Say what may be in the way."""
    checks = equipment.checks if equipment is not None else ()
    failed = ", ".join(check.name for check in checks if not check.ok)
    label = f"on the subscriber's side these checks failed: {failed}"
    return (Reason("pre_check_failed", label),) if failed else ()
