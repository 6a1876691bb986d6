"""The command line: help, versions, exit codes, and commands on a small site."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert
from supervised import SMALL_ROLES, running

from daemon.cli import COMMANDS, main
from daemon.commands.listing import parse_moment
from daemon.commands.tables import printable, table
from storage.database import migrate, open_database
from storage.tables import session, usage

NETWORK = """
[[nas]]
name = "bng1"
address = "127.0.0.1/32"
secret = "a-secret-of-more-than-24-characters"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A configuration with a network beside it."""
    file = tmp_path / "fairlane.toml"
    file.write_text(f'data_dir = "{tmp_path / "data"}"\nnetwork = "network.toml"\n')
    (tmp_path / "network.toml").write_text(NETWORK)
    return file


def fairlane(*arguments: str | Path) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def fill(site: Path) -> None:
    """Put two sessions with a usage record each into the database."""
    assert fairlane("migrate", "-c", site).exit_code == 0
    database = open_database("sqlite", site.parent / "data")
    migrate(database)
    counted = {
        "seconds": 60,
        "input_octets": 1000,
        "output_octets": 5_000_000_000,
        "input_packets": 1,
        "output_packets": 2,
    }
    with database.write.begin() as connection:
        for number, user in ((1, "ann"), (2, "bob\x1b[2J")):
            started = 1_700_000_000 + number * 3600
            values = {
                "id": number,
                "nas": "bng1",
                "nas_identity": "bng1",
                "acct_session_id": f"s{number}",
                "user_name": user,
                "state": "open" if number == 1 else "closed",
                "started_at": started,
                "started_derived": "reported",
                "last_seen_at": started + 60,
                "last_arrival_at": started + 60,
                "stopped_at": None if number == 1 else started + 60,
                "points": b"",
                **counted,
            }
            connection.execute(insert(session).values(_known(session, values)))
            values = {
                "id": number,
                "session_id": number,
                "started_at": started,
                "ended_at": started + 60,
                "derived": "reported",
                "records": 1,
                "rolled_up": False,
                **counted,
            }
            connection.execute(insert(usage).values(_known(usage, values)))
    database.close()


def _known(what: object, values: dict[str, object]) -> dict[str, object]:
    columns = {column.name for column in what.columns}  # type: ignore[attr-defined]
    return {key: value for key, value in values.items() if key in columns}


def test_version_names_everything_that_matters_in_a_report() -> None:
    """Fairlane, Python, SQLite and the tables."""
    pattern = (
        r"fairlane \S+ \(Python 3\.\d+\.\d+\S*, SQLite 3\.\d+\.\d+, schema \d{4}\)"
    )

    assert re.fullmatch(pattern, fairlane("--version").output.strip())


def test_every_command_that_is_listed_has_help() -> None:
    """The table, the modules and their help agree."""
    listed = [
        line.split()[0]
        for line in fairlane("--help").output.partition("Commands:\n")[2].splitlines()
    ]

    assert set(listed) <= set(COMMANDS)
    assert {"run", "apply", "status", "trace", "sessions", "usage"} <= set(listed)
    for name in listed:
        assert fairlane(name, "--help").exit_code == 0


def test_commands_load_only_what_they_need() -> None:
    """``fairlane --help`` imports neither the database nor the HTTP server."""
    code = (
        "import sys; from daemon.cli import main; main(['--help'], standalone_mode=0);"
        "print(sorted({'sqlalchemy', 'litestar', 'uvicorn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]"


def test_unknown_command_is_a_usage_error() -> None:
    """Exit code 2."""
    assert fairlane("nonsense").exit_code == 2


def test_apply_prints_the_difference_once_and_no_secret(site: Path) -> None:
    """Dry run, apply, apply again: shown, done, nothing to do."""
    dry = fairlane("apply", "-c", site, "--dry-run")
    first = fairlane("apply", "-c", site)
    again = fairlane("apply", "-c", site)

    assert dry.output.splitlines()[0] == first.output.splitlines()[0]
    assert first.output.startswith("+ nas bng1")
    assert "a-secret-of" not in dry.output + first.output
    assert again.output == "nothing to change\n"


def test_apply_as_json_has_one_object_a_change_without_secrets(site: Path) -> None:
    """Machines read it too."""
    (line,) = fairlane("apply", "-c", site, "--json").output.splitlines()
    change = json.loads(line)

    assert ("add", "nas", "bng1") == (change["action"], change["kind"], change["name"])
    assert "a-secret-of" not in line


def test_apply_with_problems_changes_nothing_and_exits_with_78(site: Path) -> None:
    """Every problem with file and line."""
    bad = site.parent / "bad.toml"
    bad.write_text('[[nas]]\nname = "x"\nadress = "10.0.0.1"\n[[lines]]\n')
    done = fairlane("apply", "-c", site, bad)

    assert done.exit_code == 78
    assert f"{bad}:3" in done.stderr
    assert f"{bad}:4" in done.stderr
    assert not (site.parent / "data").exists()


def test_apply_without_a_file_anywhere_is_a_usage_error(tmp_path: Path) -> None:
    """Exit code 2."""
    file = tmp_path / "fairlane.toml"
    file.write_text(f'data_dir = "{tmp_path}"')

    assert fairlane("apply", "-c", file).exit_code == 2


def test_sessions_and_usage_are_listed_as_json_lines(site: Path) -> None:
    """One object a line, with the fields that scripts hang on."""
    fill(site)
    rows = [
        json.loads(line)
        for line in fairlane("sessions", "-c", site, "--json").output.splitlines()
    ]
    used = fairlane("usage", "-c", site, "--json", "--user", "ann").output

    assert ["s1", "s2"] == [row["acct_session_id"] for row in rows]
    assert {
        "nas",
        "acct_session_id",
        "user_name",
        "framed_ip_address",
        "calling_station_id",
        "state",
        "started_at",
        "last_seen_at",
        "stopped_at",
        "terminate_cause",
        "seconds",
        "input_octets",
        "output_octets",
    } <= rows[0].keys()
    assert json.loads(used)["output_octets"] == 5_000_000_000


def test_filters_choose_rows(site: Path) -> None:
    """By user, session, state and limit; the newest of several."""
    fill(site)

    def found(*options: str) -> list[str]:
        output = fairlane("sessions", "-c", site, "--json", *options).output
        return [json.loads(line)["acct_session_id"] for line in output.splitlines()]

    assert ["s1"] == found("--user", "ann")
    assert ["s2"] == found("--session", "s2")
    assert ["s1"] == found("--state", "open")
    assert ["s2"] == found("--limit", "1")
    assert [] == found("--nas", "bng2")


def test_table_escapes_what_a_terminal_would_obey(site: Path) -> None:
    """User names come from the network: no escape sequence reaches the screen."""
    fill(site)
    output = fairlane("sessions", "-c", site).output

    assert "\x1b" not in output
    assert r"bob\x1b[2J" in output
    assert r"\x1b" == printable("\x1b")


def test_listing_without_a_database_fails_clearly(site: Path) -> None:
    """Exit code 1 and a reason, not a traceback, and nothing is made."""
    done = fairlane("sessions", "-c", site)

    assert done.exit_code == 1
    assert done.stderr.startswith("fairlane: database:")
    assert not (site.parent / "data").exists()


def test_times_are_dates_ages_and_epoch_seconds() -> None:
    """UTC unless the date says otherwise."""
    now = datetime(2026, 1, 2, tzinfo=UTC)

    assert 1_767_225_600 == parse_moment("2026-01-01", now)
    assert 1_767_222_000 == parse_moment("2026-01-01T00:00:00+01:00", now)
    assert 1_767_225_600 == parse_moment("1d", now)
    assert 5 == parse_moment("5", now)
    with pytest.raises(ValueError, match="isoformat"):
        parse_moment("yesterday", now)
    for word in ("0001-01-01", "9999-12-31", "253402300799"):
        with pytest.raises(ValueError, match=word):
            parse_moment(word, now)


@pytest.mark.parametrize(
    "words",
    [
        ("who-had", "10.0.0.1", "--at"),
        ("usage", "--since"),
        ("usage", "--limit"),
        ("leases", "--limit"),
        ("overallocation", "show"),
        ("loans", "recall"),
        ("explain",),
        ("ledger", "reverse", "--reason", "a mistake"),
    ],
)
def test_a_number_that_nothing_can_have_is_a_wrong_use(
    site: Path, words: tuple[str, ...]
) -> None:
    """Exit code 2 and the number, on the command line and not in the database."""
    fill(site)
    number = "99999999999999999999"
    result = fairlane(*words, number, "-c", site)
    assert (2, True) == (result.exit_code, number in result.stderr)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("pools", "--isp"), "isp"),
        (("leases", "--pool"), "pool"),
        (("overallocation", "list", "--pool"), "pool"),
        (("loans", "list", "--isp"), "isp"),
        (("usage", "--nas"), "nas"),
        (("ledger", "entries", "--service"), "service"),
        (("purchases", "list", "--isp"), "isp"),
    ],
)
def test_a_list_of_nothing_says_which_name_is_unknown(
    site: Path, words: tuple[str, ...], kind: str
) -> None:
    """On standard error, and no failure: history may have had it."""
    fill(site)
    result = fairlane(*words, "auroar", "-c", site)
    said = f"the network has no {kind} called 'auroar'\n"
    assert (0, True) == (result.exit_code, result.stderr.endswith(said))


def test_a_month_with_nothing_in_it_says_so(site: Path) -> None:
    """Closing it does nothing, and for an ISP that is in no book it fails."""
    fill(site)
    close = ("ledger", "close", "-c", site, "2026-10")
    done = fairlane(*close)
    assert (0, "nothing is booked in 2026-10\n") == (done.exit_code, done.output)
    for words in (close, ("ledger", "levy", "-c", site, "2026-10")):
        failed = fairlane(*words, "--isp", "auroar")
        said = "fairlane: nothing of 'auroar' is booked in 2026-10\n"
        assert (1, said) == (failed.exit_code, failed.stderr)


def test_a_service_that_is_not_there_is_named(site: Path) -> None:
    """Its balance, and a top-up of it."""
    fill(site)
    for words in (("show", "nobody"), ("topup", "nobody", "more")):
        result = fairlane("balances", *words, "-c", site)
        said = "fairlane: there is no service 'nobody'\n"
        assert (1, said) == (result.exit_code, result.stderr)


def test_a_database_that_was_never_made_is_named(site: Path) -> None:
    """What fails says which file it looked for, and what makes it."""
    result = fairlane("usage", "-c", site)
    file = site.parent / "data" / "fairlane.db"
    said = f"fairlane: database: {file} is not there; `fairlane run` makes it\n"
    assert (1, said) == (result.exit_code, result.stderr)


def test_a_database_without_tables_is_to_be_migrated(site: Path) -> None:
    """What fails names the file, the table and the command."""
    file = site.parent / "data" / "fairlane.db"
    file.parent.mkdir()
    file.touch()
    result = fairlane("usage", "-c", site)
    assert result.exit_code == 1
    for word in (str(file), "no such table: usage", "`fairlane migrate`"):
        assert word in result.stderr


def test_a_dry_run_of_apply_makes_nothing(site: Path) -> None:
    """Neither a data directory nor a database, nor tables in an empty one."""
    data = site.parent / "data"
    said = fairlane("apply", "-c", site, "--dry-run")
    assert (0, True) == (said.exit_code, said.output.startswith("+ nas bng1"))
    assert not data.exists()
    data.mkdir()
    (data / "fairlane.db").touch()
    again = fairlane("apply", "-c", site, "--dry-run")
    assert (0, said.output) == (again.exit_code, again.output)
    assert (data / "fairlane.db").read_bytes() == b""


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    """Aligned, with no blanks at the end."""
    assert ["a   b", "cc  d"] == list(table([["a", "b"], ["cc", "d"]]))


def test_status_and_trace_without_a_daemon_fail_clearly(site: Path) -> None:
    """Exit code 1, with the data directory in the message."""
    for name in ("status", "trace"):
        done = fairlane(name, "-c", site)
        assert done.exit_code == 1
        assert f"no fairlane runs on {site.parent / 'data'}" in done.stderr


def test_status_and_trace_of_a_running_daemon(tmp_path: Path) -> None:
    """Roles, versions and digest; live events."""
    with running(tmp_path, targets=SMALL_ROLES) as daemon:
        daemon.wait_ready()
        done = fairlane("status", "-c", daemon.configuration, "--json")
        status = json.loads(done.output)
        text = fairlane("status", "-c", daemon.configuration).output
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "daemon.cli", "trace", "--user", "ann"),
                *("-c", daemon.configuration, "--limit", "1", "--json"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as trace:
            assert trace.stderr is not None
            assert "tracing" in trace.stderr.readline()
            daemon.ask("trace")
            event = json.loads(trace.communicate(timeout=30)[0])

    assert done.exit_code == 0
    assert ["radius-0", "ipserver", "ledger", "control"] == [
        role["role"] for role in status["roles"]
    ]
    assert {"fairlane", "python", "sqlite"} <= status["versions"].keys()
    assert "ready" in text
    assert event["decision"] == "told"


def test_doctor_finds_weak_and_shared_secrets(site: Path) -> None:
    """What is weak is named, never shown."""
    network = site.parent / "network.toml"
    network.write_text(
        '[[nas]]\nname = "a"\naddress = "10.0.0.1"\nsecret = "testing123"\n'
        '[[nas]]\nname = "b"\naddress = "10.0.0.2"\nsecret = "testing123"\n'
    )
    found = {
        (row := json.loads(line))["check"]: row
        for line in fairlane("doctor", "-c", site, "--json").output.splitlines()
    }

    assert found["secrets"]["level"] == "warning"
    assert "the same secret at a, b" in found["secrets"]["text"]
    assert "testing123" not in json.dumps(found)
    assert found["sqlite"]["level"] == "ok"
    assert found["daemon"]["level"] == "warning"


def test_doctor_tells_that_another_key_was_used(site: Path) -> None:
    """What was sealed with the key of the data directory nobody can open now."""
    own, named = site.parent / "data" / "key", site.parent / "named.key"
    own.parent.mkdir()
    own.write_bytes(b"o" * 32)
    named.write_bytes(b"n" * 32)
    site.write_text(f'{site.read_text()}[access]\nkey_file = "{named}"\n')
    rows = map(json.loads, fairlane("doctor", "-c", site, "--json").output.splitlines())
    (key,) = [row for row in rows if row["check"] == "key"]

    assert "warning" == key["level"]
    assert str(own) in key["text"]


def test_doctor_tells_a_bad_configuration(tmp_path: Path) -> None:
    """One bad row, exit code 1."""
    file = tmp_path / "fairlane.toml"
    file.write_text("nonsense = 1")
    done = fairlane("doctor", "-c", file)

    assert done.exit_code == 1
    assert "nonsense" in done.output
