"""Loading settings: defaults, files, the environment, and every problem at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
from config.loader import (
    ConfigurationError,
    Problem,
    digest,
    load,
    load_network,
    load_settings,
)
from config.schema import Settings

FOLDER = Path(config.__file__).parent
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a settings file and give its path."""

    def written(text: str) -> Path:
        path = tmp_path / "fairlane.toml"
        path.write_text(text)
        return path

    return written


def problems_of(path: Path, environment: dict[str, str] | None = None) -> list[str]:
    """The problems of a file as they are printed, the folder left out."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path, environment or {})
    return [str(p).replace(f"{path.parent}/", "") for p in caught.value.problems]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgresql://", "names no database: postgresql://[user@]host/DATABASE"),
        ("postgresql://db1", "names no database: postgresql://[user@]host/DATABASE"),
        ("postgresql://db1/", "names no database: postgresql://[user@]host/DATABASE"),
        ("postgresql://db1:x/fairlane", "has a port that is none"),
        ("postgresql://db1:99999/fairlane", "has a port that is none"),
        ("postgresql:fairlane", "must be 'sqlite' or 'postgresql://...'"),
        ("mysql://db1/fairlane", "must be 'sqlite' or 'postgresql://...'"),
        ("postgresql://fairlane@db1/fairlane", ""),
        ("postgresql://fairlane:s@[::1]:5432/fairlane?sslmode=require", ""),
        ("postgresql:///fairlane", ""),
        ("postgresql:///?service=fairlane", ""),
        ("postgresql:///?host=/run/postgresql&dbname=fairlane", ""),
        ("postgresql://db1:5432,db2:5432/fairlane", "has a port that is none"),
    ],
)
def test_a_database_that_cannot_be_reached_by_its_url_is_refused(
    tmp_path: Path, url: str, problem: str
) -> None:
    """One that names no database would be the user's own, whichever that is; without a
    host it is the server's local socket."""
    path = tmp_path / "fairlane.toml"
    path.write_text(f'database = "{url}"\n')
    if not problem:
        assert url == load_settings(path, {}).database
        return
    assert [f"fairlane.toml:1: database: {problem}"] == problems_of(path)


def test_the_sample_file_says_every_default() -> None:
    """An operator who copies the sample changes nothing."""
    assert load_settings(FOLDER / "sample.toml", {}) == Settings()


def test_the_sample_file_names_every_key_of_the_schema() -> None:
    """No setting is hidden from who reads the sample."""
    text = (FOLDER / "sample.toml").read_text()
    for field in msgspec.structs.fields(Settings):
        inner = field.type
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            section = text.split(f"\n[{field.name}]\n")[1].split("\n[")[0]
            for key in msgspec.structs.fields(inner):
                assert re.search(rf"^{key.name} = ", section, re.MULTILINE), key.name
        else:
            assert re.search(rf"^{field.name} = ", text, re.MULTILINE), field.name


def test_every_setting_has_a_docstring_of_its_own() -> None:
    """A field without its unit is not merged."""
    source = (FOLDER / "schema.py").read_text()
    for section in msgspec.structs.fields(Settings):
        inner = section.type
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            body = source.split(f"class {inner.__name__}(")[1].split("\nclass ")[0]
            fields = len(msgspec.structs.fields(inner))
            assert body.count('    """') == fields + 1, inner.__name__


def test_the_demo_uses_loopback_and_unprivileged_ports_only() -> None:
    """script/server runs as anyone and is heard by nobody else."""
    settings, network = load(FOLDER / "demo.toml", {})
    assert network is not None
    radius = settings.radius
    listens = [*radius.authentication_listen, *radius.accounting_listen]
    for listen in [*listens, *settings.dhcp.listen, settings.http.listen]:
        host, _, port = listen.rpartition(":")
        assert host in {"127.0.0.1", "[::1]"}
        assert int(port) >= 1024


def test_a_named_file_that_is_absent_is_a_problem(tmp_path: Path) -> None:
    """A slip in a path does not start a daemon with defaults."""
    assert problems_of(tmp_path / "none.toml") == [
        "none.toml: cannot be read: No such file or directory"
    ]


def test_every_problem_of_a_file_is_told_at_once_with_its_line(write: Write) -> None:
    """Unknown keys, types, ranges, choices and addresses: one run tells all."""
    path = write(
        'netwrk = "n.toml"\n'
        "data_dir = 3\n"
        'database = "mysql://x"\n'
        "[radius]\n"
        "workers = 65\n"
        "duplicate_seconds = true\n"
        "accounting_listen = [\n"
        '  "127.0.0.1:1813",\n'
        '  "localhost:1813",\n'
        "]\n"
        "[log]\n"
        'level = "inof"\n'
        "[htpp]\n"
        "[mqtt]\n"
        'url = "http://x"\n'
    )
    assert problems_of(path) == [
        "fairlane.toml:1: netwrk: unknown key (did you mean 'network'?)",
        "fairlane.toml:2: data_dir: must be a string, not an integer",
        "fairlane.toml:3: database: must be 'sqlite' or 'postgresql://...'",
        "fairlane.toml:5: radius.workers: must be an integer from 1 to 64, not 65",
        (
            "fairlane.toml:6: radius.duplicate_seconds: must be an integer from 1 to "
            "300, not a boolean"
        ),
        (
            "fairlane.toml:9: radius.accounting_listen[1]: 'localhost' is not an "
            "address; write 127.0.0.1:1813 or [::1]:1813"
        ),
        (
            "fairlane.toml:12: log.level: must be one of 'debug', 'error', 'info', "
            "'warning' (did you mean 'info'?)"
        ),
        "fairlane.toml:13: htpp: unknown key (did you mean 'http'?)",
        (
            "fairlane.toml:15: mqtt.url: must be empty or "
            "mqtt://[user:password@]host[:port] (or mqtts://)"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = \n", 2),
        ("a = 1\na = 2\n", 2),
        ('x = """\n\n', 3),
        ("[t]\n\n[t]\n", 3),
    ],
)
def test_a_syntax_error_has_its_line(write: Write, text: str, line: int) -> None:
    """What tomllib refuses is one problem with file and line."""
    (problem,) = problems_of(write(text))
    assert problem.startswith(f"fairlane.toml:{line}: is not valid TOML: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = 1\n\xff\n", "fairlane.toml:2: is not UTF-8"),
        (b"a = " + b"[" * 100_000, "fairlane.toml: is nested too deeply"),
    ],
)
def test_a_file_that_is_no_text_or_bottomless_is_a_problem(
    write: Write, content: bytes, message: str
) -> None:
    """Junk is refused with a reason and no traceback."""
    path = write("")
    path.write_bytes(content)
    assert problems_of(path) == [message]


def test_a_folder_in_place_of_a_file_is_a_problem(tmp_path: Path) -> None:
    """What cannot be read says why."""
    assert "Is a directory" in problems_of(tmp_path)[0]


@given(st.text(st.sampled_from('ab_=.[]{}"\n1 -:network radius'), max_size=80))
def test_any_text_is_settings_or_a_list_of_problems(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """Nothing but ConfigurationError comes out, and never without a problem."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text)
    problems: list[Problem] | None = None
    try:
        load_settings(path, {})
    except ConfigurationError as error:
        problems = error.problems
    assert problems is None or all(str(problem) for problem in problems)
    assert problems != []


@pytest.mark.parametrize(
    "listen",
    [
        "1813",
        ":1813",
        "127.0.0.1",
        "127.0.0.1:65536",
        "::1:1813",
        "[127.0.0.1]:1",
        "[::1]",
        "[]:1",
        "127.0.0.1:-1",
        "127.1:1",
        "127.0.0.1:1 ",
        "[::1]:99999999",
    ],
)
def test_a_listen_address_that_is_not_host_and_port_is_refused(
    write: Write, listen: str
) -> None:
    """Each wrong form is a problem of its key."""
    (problem,) = problems_of(write(f'[http]\nlisten = "{listen}"\n'))
    assert problem.startswith("fairlane.toml:2: http.listen: ")


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::]:1813", "[fe80::1%eth0]:67"])
def test_ipv4_and_bracketed_ipv6_addresses_are_accepted(
    write: Write, listen: str
) -> None:
    """Port 0 is for who wants a free one."""
    assert (
        load_settings(write(f'[http]\nlisten = "{listen}"'), {}).http.listen == listen
    )


def test_one_address_cannot_be_listened_on_twice(write: Write) -> None:
    """Two services on one port are found before a socket is."""
    path = write(
        '[radius]\nauthentication_listen = ["127.0.0.1:1813"]\n'
        'accounting_listen = ["127.0.0.1:1813"]\n'
    )
    assert problems_of(path) == [
        (
            "fairlane.toml:3: radius.accounting_listen[0]: 127.0.0.1:1813 is in "
            "authentication_listen already"
        )
    ]


def test_a_server_is_not_known_by_the_address_of_nobody(write: Write) -> None:
    """A client that is told 0.0.0.0 (option 54) could not choose or renew."""
    (problem,) = problems_of(write('[dhcp]\nserver_identifier = "0.0.0.0"\n'))
    start = "fairlane.toml:2: dhcp.server_identifier: '0.0.0.0' is no address of a"
    assert problem.startswith(start)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[dhcp]\nlisten = ["127.0.0.1:1812"]\n',
            "2: dhcp.listen[0]: 0.0.0.0:1812 is in authentication_listen already",
        ),
        (
            '[radius]\naccounting_listen = ["0.0.0.0:1812"]\n',
            (
                "2: radius.accounting_listen[0]: 0.0.0.0:1812 is in "
                "authentication_listen already"
            ),
        ),
        (
            '[dhcp]\nlisten = ["127.0.0.1:67", "127.0.0.1:67"]\n',
            "2: dhcp.listen[1]: 127.0.0.1:67 is in listen already",
        ),
        ('[dhcp]\nlisten = ["0.0.0.0:67", "127.0.0.1:67"]\n', ""),
        ('[radius]\naccounting_listen = ["[::]:1812"]\n', ""),
        ('[dhcp]\nlisten = ["0.0.0.0:0", "0.0.0.0:0"]\n', ""),
        (
            (
                "[radius]\nauthentication_listen = []\n[dhcp]\n"
                'listen = ["127.0.0.1:1812"]\n'
            ),
            "",
        ),
    ],
)
def test_two_services_do_not_share_an_address(
    write: Write, text: str, problem: str
) -> None:
    """Whichever socket the system chose would get the packet; a default counts too."""
    path = write(text)
    if problem:
        assert [f"fairlane.toml:{problem}"] == problems_of(path)
    else:
        load_settings(path, {})


def test_a_session_cannot_be_closed_before_it_is_stale(write: Write) -> None:
    """The two interval counts are held against each other, defaults included."""
    assert problems_of(write("[accounting]\nstale_after_intervals = 6\n")) == [
        (
            "fairlane.toml:2: accounting.stale_after_intervals: close_after_intervals "
            "(6) must be more than stale_after_intervals (6)"
        )
    ]


def test_the_environment_wins_over_the_file(write: Write) -> None:
    """Text, numbers and lists can all be set by a variable."""
    path = write('data_dir = "/from/file"\n[http]\nlisten = "127.0.0.1:1"\n')
    settings = load_settings(
        path,
        {
            "FAIRLANE_DATA_DIR": "/from/environment",
            "FAIRLANE_HTTP__LISTEN": "127.0.0.1:2",
            "FAIRLANE_RADIUS__WORKERS": "4",
            "FAIRLANE_RADIUS__ACCOUNTING_LISTEN": "127.0.0.1:3, [::1]:3",
            "FAIRLANE_RADIUS__AUTHENTICATION_LISTEN": "",
            "PATH": "/bin",
        },
    )
    assert settings.data_dir == "/from/environment"
    assert settings.http.listen == "127.0.0.1:2"
    assert settings.radius.workers == 4
    assert settings.radius.accounting_listen == ["127.0.0.1:3", "[::1]:3"]
    assert settings.radius.authentication_listen == []


def test_a_problem_of_the_environment_names_its_variable(write: Write) -> None:
    """The file is not blamed for what a variable says, and slips are told."""
    environment = {
        "FAIRLANE_RADIUS__WORKERS": "many",
        "FAIRLANE_HTTP__LISTN": "127.0.0.1:1",
        "FAIRLANE_DATADIR": "/x",
    }
    assert problems_of(write("[radius]\nworkers = 1\n"), environment) == [
        (
            "environment: FAIRLANE_DATADIR: is not the name of a setting (did you mean "
            "'FAIRLANE_DATA_DIR'?)"
        ),
        (
            "environment: FAIRLANE_HTTP__LISTN: is not the name of a setting (did you "
            "mean 'FAIRLANE_HTTP__LISTEN'?)"
        ),
        (
            "environment: FAIRLANE_RADIUS__WORKERS: must be an integer from 1 to 64, "
            "not a string"
        ),
    ]


def test_the_network_is_beside_its_file_and_data_in_the_working_directory(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """./var of a clone is the clone's, wherever the settings are."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = write('data_dir = "./var"\nnetwork = "network.toml"\n')
    monkeypatch.chdir(elsewhere)
    settings = load_settings(path, {})
    assert settings.data_dir == str(elsewhere / "var")
    assert settings.network == str(tmp_path / "network.toml")


def test_problems_of_settings_and_network_are_told_together(
    write: Write, tmp_path: Path
) -> None:
    """Both files can be mended after one run."""
    (tmp_path / "network.toml").write_text("[[aera]]\n")
    path = write('network = "network.toml"\ndatabse = ""\n')
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    assert [(Path(p.file).name, p.key) for p in caught.value.problems] == [
        ("fairlane.toml", "databse"),
        ("network.toml", "aera"),
    ]


def test_the_digest_is_of_the_meaning_and_not_of_the_text(
    write: Write, tmp_path: Path
) -> None:
    """Order and comments do not change it, a value does."""
    one = load_settings(write("[log]\n[radius]\nworkers = 2\n"), {})
    same = load_settings(write("# two\nradius.workers = 2\n"), {})
    other = load_settings(write("radius.workers = 3\n"), {})
    assert digest(one) == digest(same) != digest(other)
    (tmp_path / "network.toml").write_text('[[area]]\nname = "a"\n')
    assert digest(one, load_network(tmp_path / "network.toml")) != digest(one)
