"""Commands that end when the process that starts them does, however that ended.

A process that is killed cleans nothing up: what it started would keep its ports and its
stores. The kernel tells the child instead (PR_SET_PDEATHSIG in prctl(2)), by the hand
of util-linux's ``setpriv``: Python's ``preexec_fn`` runs between fork and exec, where
other threads may have left locks held. It is the end of the thread that started the
child which counts, so start such a command from a thread that lives as long as it. A
parent that ends before ``setpriv`` has run, some milliseconds, is not noticed.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence


def ending_with_parent(
    command: Sequence[str], number: signal.Signals = signal.SIGTERM
) -> list[str]:
    """Give the command line that runs ``command`` and sends it ``number`` at the end
    of its parent; the command itself where there is no ``setpriv``.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return list(command)
    name = number.name.removeprefix("SIG")
    return [setpriv, "--pdeathsig", name, *command]
