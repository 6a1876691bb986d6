"""``fairlane run``: from the command line to a running supervisor.

The order matters: the lock before anything is written, the metrics directory before
the metrics are imported, the database before the roles.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from daemon import preparation, role, sockets
from daemon.commands.options import configuration_option, fail, load_or_exit
from daemon.preparation import Plan, StartError
from daemon.service_manager import ServiceManager
from daemon.sockets import AddressError, SocketPool
from daemon.stores import StoreError
from telemetry import logs, multiprocess


@click.command()
@configuration_option
@click.option("--single", is_flag=True, help="Run all roles in this one process.")
def command(configuration: Path | None, *, single: bool) -> None:
    """Run the daemon in the foreground until SIGTERM or SIGINT.

    SIGHUP reads configuration and network again; with a mistake in them nothing
    changes.
    """
    plan = load_or_exit(configuration)
    logs.configure(plan.settings.log.level, role="supervisor")
    service_manager = ServiceManager.from_environment(os.environ)
    pool = SocketPool(inherited=sockets.inherited(os.environ))
    try:
        preparation.make_data_directory(plan.data_dir)
        with preparation.locked(plan.data_dir) as lock:
            code = _run(plan, pool, service_manager, lock=lock, single=single)
    except (StartError, StoreError, AddressError) as error:
        fail(str(error))
    raise SystemExit(code)


def _run(
    plan: Plan,
    pool: SocketPool,
    service_manager: ServiceManager,
    *,
    lock: int,
    single: bool,
) -> int:
    directory = plan.data_dir / "metrics"
    multiprocess.wipe(directory)
    if not single:
        multiprocess.attach(directory, "supervisor")
    # Only now: importing it makes the metrics, and these choose their place then.
    from daemon.supervisor import Supervisor

    supervisor = Supervisor(
        plan=plan,
        pool=pool,
        service_manager=service_manager,
        single=single,
        held_fds=(lock,),
        metrics_directory=None if single else directory,
    )
    if single:
        return role.run_loop(supervisor.run())
    return asyncio.run(supervisor.run())
