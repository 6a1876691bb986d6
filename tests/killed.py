"""Work on a database, in a process that is killed at a step of it."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable

from sqlalchemy import event

from storage.database import Database

Work = Callable[[Database], object]


def killed_at(database: Database, work: Work, step: int, *occasions: str) -> bool:
    """Do work in a process that is killed at the n-th of some of SQLAlchemy's events
    on the connections that write; say whether it was. A ``commit`` is told before it
    is one. The database must be closed."""
    child = os.fork()
    if not child:
        steps, status = iter(range(1, step + 1)), 1

        def reached(*_: object) -> None:
            if next(steps, None) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            database.write.dispose(close=False)
            database.read.dispose(close=False)
            for occasion in occasions:
                event.listen(database.write, occasion, reached)
            work(database)
            status = 0
        finally:
            if status:
                traceback.print_exc()
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert signal.SIGKILL == os.WTERMSIG(status)
        return True
    assert 0 == os.WEXITSTATUS(status)
    return False
