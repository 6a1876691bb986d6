"""The process: command line, composition root, supervisor, roles, sockets and the
clock. The only room that may import every other; no protocol and no rating rule
lives here."""

import sys

# For tracebacks in a form that we have no use for, structlog brings rich where that is
# installed: a twelfth of what a role's process takes to start.
if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog as structlog

    del sys.modules["rich"]
