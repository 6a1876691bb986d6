"""Months on the command line, such as 2026-11."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click


class Month(click.ParamType[str]):
    """A calendar month; of which zone, the books say."""

    name = "month"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return it as 2026-11; a usage error when it is none."""
        try:
            return datetime.strptime(value, "%Y-%m").strftime("%Y-%m")  # noqa: DTZ007
        except ValueError:
            self.fail(f"{value!r} is no month such as 2026-11", param, ctx)
