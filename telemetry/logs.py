"""Logs as events with fields, on standard output, one line each.

The form follows the reader: journald gets a priority prefix and logfmt, a terminal
gets aligned columns, anything else gets JSON.  Only edges log; pure code returns
facts.  Secrets are never passed to a logger.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

Form = Literal["json", "logfmt", "console"]

# sd-daemon(3): the prefix that gives a line of a service its syslog priority.
_PRIORITY = {
    "critical": 2,
    "error": 3,
    "exception": 3,
    "warning": 4,
    "info": 6,
    "debug": 7,
}
_FIRST_KEYS = ["timestamp", "level", "event", "role"]


def form_for(environ: MutableMapping[str, str], stream: TextIO) -> Form:
    """Choose the form of the lines from who reads ``stream``."""
    if to_journal(environ, stream):
        return "logfmt"
    return "console" if stream.isatty() else "json"


def to_journal(environ: MutableMapping[str, str], stream: TextIO) -> bool:
    """Tell whether ``stream`` is journald: JOURNAL_STREAM is its device and inode."""
    device, colon, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    if not colon:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (str(status.st_dev), str(status.st_ino)) == (device, inode)


def priority_prefix(line: str, level: str) -> str:
    """Put the priority before every line: a traceback has several."""
    prefix = f"<{_PRIORITY.get(level, 6)}>"
    return "\n".join(prefix + part for part in line.splitlines())


def configure(
    level: str = "info",
    *,
    role: str = "",
    form: Form | None = None,
    stream: TextIO | None = None,
) -> None:
    """Send our own and the libraries' logs to ``stream`` (standard output).

    ``level`` is debug, info, warning or error; ``role`` is put on every line.
    """
    stream = stream or sys.stdout
    form = form or form_for(os.environ, stream)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.UnicodeDecoder(),
    ]
    if form != "console":
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(form, journal=to_journal(os.environ, stream)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Libraries tell their own life at info; only their trouble is news here.
    for chatty in ("uvicorn", "litestar", "sqlalchemy", "alembic", "asyncio"):
        logging.getLogger(chatty).setLevel(max(root.level, logging.WARNING))
    structlog.contextvars.clear_contextvars()
    if role:
        structlog.contextvars.bind_contextvars(role=role)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _renderer(form: Form, *, journal: bool) -> structlog.typing.Processor:
    if form == "console":
        # Where rich is installed the default shows local variables: passwords too.
        console: structlog.typing.Processor = structlog.dev.ConsoleRenderer(
            colors=True, exception_formatter=structlog.dev.plain_traceback
        )
        return console
    if form == "json":
        return structlog.processors.JSONRenderer()
    logfmt = structlog.processors.LogfmtRenderer(key_order=_FIRST_KEYS)
    if not journal:
        plain: structlog.typing.Processor = _one_line(logfmt)
        return plain

    def render(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
        level = str(event.get("level", "info"))
        return priority_prefix(_one_line(logfmt)(logger, name, event), level)

    return render


def _one_line(logfmt: structlog.processors.LogfmtRenderer) -> Any:
    def render(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
        # A key with a space is an error to logfmt; absent fields would print "None".
        tidy = {key.replace(" ", "_"): value for key, value in event.items()}
        return logfmt(logger, name, {k: v for k, v in tidy.items() if v is not None})

    return render


class RateLimiter:
    """Lets one line per key and interval pass, and counts those it held back.

    ``interval`` is in seconds.  At most ``keys`` keys are remembered; when they are
    all taken a new key shares the last place, so that a flood of sources costs
    neither memory nor lines.
    """

    __slots__ = ("_interval", "_keys", "_seen")

    def __init__(self, interval: float, keys: int = 1024) -> None:
        self._interval = interval
        self._keys = keys
        self._seen: dict[str, tuple[float, int]] = {}

    def allow(self, key: str, now: float) -> int | None:
        """Return how many were suppressed since the last line; None: be silent."""
        entry = self._seen.get(key)
        if entry is None and len(self._seen) >= self._keys:
            self._forget(now)
            if len(self._seen) >= self._keys:
                key = ""
                entry = self._seen.get(key)
        if entry is None:
            self._seen[key] = (now, 0)
            return 0
        began, suppressed = entry
        if 0 <= now - began < self._interval:
            self._seen[key] = (began, suppressed + 1)
            return None
        self._seen[key] = (now, 0)
        return suppressed

    def _forget(self, now: float) -> None:
        old = [
            key
            for key, (began, suppressed) in self._seen.items()
            if now - began >= self._interval and not suppressed
        ]
        for key in old:
            del self._seen[key]
