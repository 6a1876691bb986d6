"""Addresses as the command line takes them."""

from __future__ import annotations

from typing import Any

import click
from netaddr import AddrFormatError, IPAddress


class Ipv4(click.ParamType[int]):
    """An IPv4 address, written with three dots."""

    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return it as an integer."""
        if isinstance(value, int):
            return value
        try:
            address = IPAddress(str(value).strip())
        except (AddrFormatError, ValueError):
            self.fail(f"{value!r} is no address such as 192.0.2.7")
        if address.version != 4:
            self.fail(f"{value!r} is not an IPv4 address")
        return int(address)
