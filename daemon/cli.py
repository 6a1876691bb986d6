"""The command ``fairlane``: a table of commands, each loaded only when it is asked for.

Exit codes: 0 ok, 1 failed, 2 usage, 78 configuration.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys

import click

EXIT_FAILED = 1
EXIT_CONFIGURATION = 78

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("daemon.commands.run", "Run the daemon in the foreground."),
    "check": ("daemon.commands.check", "Check the configuration and network files."),
    "apply": ("daemon.commands.apply", "Make the network what a file says."),
    "status": ("daemon.commands.status", "Show how the running daemon is."),
    "trace": ("daemon.commands.trace", "Watch decisions of the running daemon."),
    "decode": ("daemon.commands.decode", "Show what a RADIUS packet says."),
    "sessions": ("daemon.commands.sessions", "List sessions."),
    "usage": ("daemon.commands.usage", "List usage records."),
    "balances": ("daemon.commands.balances", "What is left of allowances; top-ups."),
    "ledger": ("daemon.commands.ledger", "The money: entries, proof, months."),
    "purchases": ("daemon.commands.purchases", "Purchases at BSPs."),
    "bsp-usage": ("daemon.commands.bsp_usage", "Metered use of BSPs."),
    "statement": ("daemon.commands.statement", "Statements of ISPs and BSPs."),
    "rerate": ("daemon.commands.rerate", "Rate usage again: dry run, then apply."),
    "explain": ("daemon.commands.explain", "Explain an entry down to its packets."),
    "rate": ("daemon.commands.rate", "Say what usage would cost under a tariff."),
    "coa": ("daemon.commands.coa", "Change or end sessions that run."),
    "credential": ("daemon.commands.credential", "Hash or seal a password."),
    "qualify": ("daemon.commands.qualify", "Say what a place can have."),
    "orders": ("daemon.commands.orders", "List, place and steer orders."),
    "isp": ("daemon.commands.isp", "Move the subscribers of an ISP that leaves."),
    "inventory": ("daemon.commands.inventory", "The inventory as CSV, in and out."),
    "reconcile": ("daemon.commands.reconcile", "Ordered against observed, in money."),
    "pools": ("daemon.commands.pools", "Show how full each pool is, and why."),
    "overallocation": (
        "daemon.commands.overallocation",
        "Over-allocation requests: list, show, raise, approve, deny.",
    ),
    "loans": ("daemon.commands.loans", "Lent addresses: list, recall, return."),
    "why": ("daemon.commands.why", "Explain the last decision on a line."),
    "leases": ("daemon.commands.leases", "List leases of addresses."),
    "who-had": ("daemon.commands.who_had", "Say who had an address at a time."),
    "replay": ("daemon.commands.replay", "Run a capture through the accounting."),
    "access": ("daemon.commands.access", "Make, list and revoke clients."),
    "quarantine": (
        "daemon.commands.quarantine",
        "Records that could not be applied: list, show, retry.",
    ),
    "backup": ("daemon.commands.backup", "Copy all that a node must not lose."),
    "restore": ("daemon.commands.restore", "Bring a backup back where nothing is."),
    "migrate": ("daemon.commands.migrate", "Bring the database to this version."),
    "doctor": ("daemon.commands.doctor", "Look for what will cause trouble."),
}


class Commands(click.Group):
    """Commands by the table; help of the group loads none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands that are there, in the table's order."""
        return [name for name in COMMANDS if _exists(COMMANDS[name][0])]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in COMMANDS or not _exists(COMMANDS[cmd_name][0]):
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        # A module has its one command under its own name or as ``command``.
        command = getattr(module, "command", None) or getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command. A name that is not UTF-8 is nobody's: no text that is kept has
        such octets (a path may)."""
        try:
            return super().invoke(ctx)
        except UnicodeEncodeError as error:
            if error.encoding != "utf-8":
                raise
            raise click.UsageError(f"{error.object!r} is not UTF-8", ctx) from error

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the list from the table."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, COMMANDS[name][1]) for name in self.list_commands(ctx)]
            )


def _exists(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from daemon import versions

    click.echo(versions.line())
    ctx.exit()


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the versions of Fairlane, Python, SQLite and the tables.",
)
def main() -> None:
    """Fairlane, the daemon of an open-access broadband network."""


if __name__ == "__main__":
    sys.exit(main())
