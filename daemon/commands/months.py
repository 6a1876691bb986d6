"""Months on the command line, such as 2026-11."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import click

_NEVER: Final = datetime.min  # noqa: DTZ901


class Month(click.ParamType[str]):
    """A calendar month; of which zone, the books say."""

    name = "month"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return it as 2026-11; a usage error when it is none."""
        try:
            month = datetime.strptime(value, "%Y-%m")  # noqa: DTZ007
        except ValueError:
            month = _NEVER
        # No calendar has the month behind the last one; no money is older than time.
        if not 1970 <= month.year < 9999:
            self.fail(f"{value!r} is no month such as 2026-11", param, ctx)
        return month.strftime("%Y-%m")
