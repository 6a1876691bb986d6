"""What the ledger made of a record, for who watches it live: ``fairlane trace``."""

from __future__ import annotations

from typing import Any

from daemon import clock
from daemon.role import RoleContext
from radius.accounting import Refused, Report, Status, describe
from rating.session import Usage


def show(
    role: RoleContext, position: int, report: Report | Refused, usage: Usage | None
) -> None:
    """Send an event of a record to its watchers, if it has any."""
    tracing, user = role.tracing, _subject(report)
    if tracing is None or not tracing.matches(
        nas=report.nas, user=user, now=clock.now()
    ):
        return
    event: dict[str, Any] = {"nas": report.nas, "user": user, "position": position}
    if isinstance(report, Refused):
        event |= {"decision": "counts for nothing", "reason": report.reason}
    else:
        decision = "nothing to count" if usage is None else f"use {usage.derived}"
        event |= {
            "acct_session_id": report.acct_session_id,
            "status": Status(report.status).name,
            "decision": decision,
        }
    if usage is not None:
        event["usage"] = usage._asdict()
    role.emit_trace(event)


def _subject(report: Report | Refused) -> str:
    """Say whose report it is."""
    if isinstance(report, Refused):
        return ""
    return describe(report.standing).user_name or ""
