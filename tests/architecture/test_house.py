"""The rules of the house that a program can hold: clocks, docstrings, sizes, names."""

from __future__ import annotations

import ast
import gc
import importlib.util
import re
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from daemon.cli import COMMANDS, main

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PACKAGES = tuple(
    tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"][
        "root_packages"
    ]
)
MODULES = sorted(
    path.relative_to(REPOSITORY)
    for package in PACKAGES
    for path in (REPOSITORY / package).rglob("*.py")
)
LINES_MAX = 400
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}

needs_git = pytest.mark.skipif(
    shutil.which("git") is None or not (REPOSITORY / ".git").exists(),
    reason="what is tracked is only known in a git clone",
)


@cache
def tree(module: Path) -> ast.Module:
    """One module, parsed; what stays is not looked through by the collector."""
    gc.disable()
    try:
        return ast.parse((REPOSITORY / module).read_text())
    finally:
        gc.enable()


CLOCKS = {
    "time": {
        "clock_gettime",
        "clock_gettime_ns",
        "ctime",
        "gmtime",
        "localtime",
        "monotonic",
        "monotonic_ns",
        "perf_counter",
        "perf_counter_ns",
        "process_time",
        "process_time_ns",
        "thread_time",
        "time",
        "time_ns",
    },
    "datetime": {"now", "today", "utcnow"},
    "date": {"today"},
    "loop": {"time"},
}


def clock_reads(parsed: ast.Module) -> list[str]:
    """Name every place in a module that reads a clock, however it is imported."""
    names = {word: word for word in CLOCKS}
    found = []
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            names |= {a.asname or a.name: a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {a.asname or a.name: a.name for a in node.names}
            if node.module == "time":
                found += [
                    f"line {node.lineno}: from time import {a.name}"
                    for a in node.names
                    if a.name in CLOCKS["time"]
                ]
    for node in ast.walk(parsed):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value
        if isinstance(owner, ast.Call):  # asyncio.get_running_loop().time()
            owner = owner.func
        word = owner.attr if isinstance(owner, ast.Attribute) else ""
        if isinstance(owner, ast.Name):
            word = names.get(owner.id, owner.id)
        word = "loop" if word.endswith("loop") else word
        if node.attr in CLOCKS.get(word, ()):
            found.append(f"line {node.lineno}: {word}.{node.attr}")
    return found


def test_only_the_clock_module_reads_a_clock() -> None:
    """Everything else takes the time as an argument, so a replay can say what it is."""
    found = {str(m): clock_reads(tree(m)) for m in MODULES}
    assert found.pop("daemon/clock.py")
    assert {m: reads for m, reads in found.items() if reads} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "import time as t\nt.monotonic_ns()",
        "from time import perf_counter",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime as d, UTC\nd.now(UTC)",
        "from datetime import date\ndate.today()",
        "import asyncio\nasyncio.get_running_loop().time()",
        "def f(loop):\n    return loop.time()",
        "import time\nf = time.time",
    ],
)
def test_every_way_to_a_clock_is_seen(source: str) -> None:
    """Neither another name nor a function that is only passed on hides it."""
    assert clock_reads(ast.parse(source))


def test_every_package_and_module_says_what_it_is_for() -> None:
    """A docstring of more than a word, first in the file."""
    silent = [
        str(m) for m in MODULES if len((ast.get_docstring(tree(m)) or "").split()) < 3
    ]
    assert silent == []


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    """What is longer does more than one thing."""
    lengths = {str(m): (REPOSITORY / m).read_text().count("\n") for m in MODULES}
    assert {m: lines for m, lines in lengths.items() if lines > LINES_MAX} == {}


@cache
def tracked() -> tuple[Path, ...]:
    """The files in the repository that are there."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    ).stdout.decode()
    names = (Path(name) for name in listed.split("\0") if name)
    return tuple(name for name in names if (REPOSITORY / name).is_file())


@needs_git
def test_no_file_is_named_for_nothing_in_particular() -> None:
    """Utils, helpers, common and misc name no subject, so everything ends up there."""
    named = [
        str(path)
        for path in tracked()
        if EMPTY_NAMES & {part.partition(".")[0] for part in path.parts}
    ]
    assert named == []


@needs_git
def test_no_file_names_a_folder_of_somebody_s_machine() -> None:
    """What is in the repository is true on every machine."""
    path = re.compile(r"(?<![\w.*$}~-])/(?:work|root|home)(?:/|\b(?![-.\w]))")
    assert path.search("cd /" + "work/main")
    found = []
    for name in tracked():
        octets = (REPOSITORY / name).read_bytes()
        if b"\0" in octets:
            continue
        lines = octets.decode("utf-8", "replace").splitlines()
        found += [
            f"{name}:{number}: {line.strip()}"
            for number, line in enumerate(lines, start=1)
            if path.search(line)
        ]
    assert found == []


def test_requirements_are_locked_and_name_no_place() -> None:
    """Every requirement has a version and a hash; where it comes from is the user's."""
    files = sorted((REPOSITORY / "requirements").glob("*.txt"))
    assert {"build.txt", "runtime.txt", "test.txt"} <= {file.name for file in files}
    for file in files:
        text = file.read_text()
        assert not re.search(r"://|^\s*-|\s@\s", text.replace("    --hash=", "")), file
        joined = text.replace("\\\n", " ").splitlines()
        for line in filter(None, (row.partition(" #")[0].strip() for row in joined)):
            if not line.startswith("#"):
                assert re.match(r"[\w.\[\]-]+==\S+", line), line
                assert "--hash=sha256:" in line, line


def documents() -> list[Path]:
    """README, and all other pages for people."""
    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    return sorted(page.relative_to(REPOSITORY) for page in pages)


def code_in(page: Path) -> str:
    """What a page shows as code, in blocks or in a line."""
    text = (REPOSITORY / page).read_text()
    fence = re.compile(r"^```.*?\n(.*?)^```", re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`([^`\n]+)`", fence.sub("", text))
    return "\n".join([*fence.findall(text), *inline])


@pytest.mark.parametrize("page", documents(), ids=str)
def test_the_commands_that_a_page_shows_exist(page: Path) -> None:
    """Every script, module and subcommand that README and docs tell people to run."""
    code = code_in(page)
    for word in re.findall(r"(?<![\w/])(?:script|\.ci)/\w+", code):
        script = REPOSITORY / word
        assert script.is_file(), word
        assert script.stat().st_mode & 0o111, word
    for module in re.findall(r"python3? -m ((?:bench|daemon)[\w.]*)", code):
        assert importlib.util.find_spec(module), module
    shown = re.findall(
        r"^(?:\$ )?(?:\S*/)?fairlane ([a-z-]+)\b(?! runs| has| is)", code, re.MULTILINE
    )
    group = click.Context(main)
    assert isinstance(main, click.Group)
    for word in shown:
        assert main.get_command(group, word) is not None, word


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_of_the_table_explains_itself(name: str) -> None:
    """`fairlane COMMAND --help` works for each, and says the usage."""
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: main {name} ")
