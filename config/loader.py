"""Reads ``fairlane.toml`` and the network file, whole or not at all.

Settings come from the file, then from the environment: ``FAIRLANE_DATA_DIR`` is
``data_dir``, ``FAIRLANE_HTTP__LISTEN`` is ``listen`` of ``[http]``, and a list is
written with commas. Relative paths: ``network`` lies beside the file that names it,
secret files beside the network file, but ``data_dir`` is relative to the working
directory, so that a clone's ``./var`` is the clone's whatever file it came from.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, inspect

from config.checker import field_type, find_mistakes
from config.listen_checks import find_shared_listens
from config.network import Network
from config.network_checks import find_conflicts
from config.problems import (
    ConfigurationError,
    Finding,
    KeyPath,
    Problem,
    dotted,
    nearest,
)
from config.schema import Settings
from config.secret_files import read_secrets, with_secrets
from config.toml_lines import key_lines

__all__ = [
    "DEFAULT_PATH",
    "ConfigurationError",
    "Problem",
    "digest",
    "load",
    "load_network",
    "load_settings",
]

DEFAULT_PATH = Path("/etc/fairlane/fairlane.toml")
"""Where settings are when no file is named; without it the defaults hold."""

MAXIMUM_FILE_BYTES = 64 * 1024 * 1024

_ENVIRONMENT = "environment"
_PREFIX = "FAIRLANE_"
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_AT_END = " (at end of document)"

Structure = TypeVar("Structure", bound=Struct)


def load_settings(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Load the settings of the process, from the process's environment by default.

    A named file that is not there is a problem; the default file may be absent. Raises
    ConfigurationError with every problem.
    """
    file = path or DEFAULT_PATH
    document: dict[str, Any] = {}
    text = ""
    if path not in {None, DEFAULT_PATH} or file.exists():
        text, document = _parse(file)
    origins, strangers = _override(
        document, os.environ if environment is None else environment
    )
    findings = find_mistakes(Settings, document)
    findings += _find_setting_conflicts(document)
    problems = strangers + _place(str(file), text, findings, origins)
    settings = _build(Settings, document, str(file), problems)
    network = settings.network
    if network:
        beside = Path() if ("network",) in origins else file.parent
        network = str((beside / network).absolute())
    data_dir = str(Path(settings.data_dir).absolute())
    return msgspec.structs.replace(settings, data_dir=data_dir, network=network)


def load(
    path: Path | None = None, environment: Mapping[str, str] | None = None
) -> tuple[Settings, Network | None]:
    """Load the settings and the network file that they name, if any.

    Raises ConfigurationError with every problem of both files.
    """
    try:
        settings = load_settings(path, environment)
    except ConfigurationError as error:
        problems = error.problems + _problems_of_named_network(path or DEFAULT_PATH)
        raise ConfigurationError(problems) from error
    return settings, load_network(Path(settings.network)) if settings.network else None


def _problems_of_named_network(path: Path) -> list[Problem]:
    """Find the problems of the network that unusable settings name, if they do."""
    try:
        _, document = _parse(path)
        name = document.get("network")
        if isinstance(name, str) and name:
            load_network(path.parent / name)
    except ConfigurationError as error:
        # Those of the settings file itself are told already.
        return [problem for problem in error.problems if problem.file != str(path)]
    return []


def load_network(path: Path) -> Network:
    """Load a network file; ConfigurationError has every problem.

    Secrets that are kept in files are read too, to where the rows have their own.
    """
    text, document = _parse(path)
    findings = find_mistakes(Network, document)
    findings += [found for found in find_conflicts(document) if not found.stays]
    secrets, missing = read_secrets(document, path.parent)
    problems = _place(str(path), text, findings + missing, {})
    network = _build(Network, document, str(path), problems)
    return with_secrets(network, secrets)


def digest(settings: Settings, network: Network | None = None) -> str:
    """Give the SHA-256 of what is in force, in hexadecimal.

    Two files that mean the same have the same digest, however they are written.
    """
    encoded = msgspec.json.encode([settings, network], order="deterministic")
    return hashlib.sha256(encoded).hexdigest()


def _parse(path: Path) -> tuple[str, dict[str, Any]]:
    file = str(path)
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            message = f"is larger than {MAXIMUM_FILE_BYTES} bytes"
            raise ConfigurationError([Problem(file, None, "", message)])
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = getattr(error, "strerror", None) or str(error)
        message = f"cannot be read: {reason}"
        raise ConfigurationError([Problem(file, None, "", message)]) from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(file, line, "", "is not UTF-8")
        raise ConfigurationError([problem]) from error
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([_syntax_problem(file, text, error)]) from error
    except RecursionError as error:
        problem = Problem(file, None, "", "is nested too deeply")
        raise ConfigurationError([problem]) from error
    except ValueError as error:  # a date that does not exist, a number too long
        problem = Problem(file, None, "", f"is not valid TOML: {error}")
        raise ConfigurationError([problem]) from error


def _syntax_problem(file: str, text: str, error: tomllib.TOMLDecodeError) -> Problem:
    message = str(error)
    line = text.count("\n") + 1
    match = _AT_LINE.search(message)
    if match:
        line = int(match[1])
        message = message[: match.start()]
    message = message.removesuffix(_AT_END)
    return Problem(file, line, "", f"is not valid TOML: {message}")


def _place(
    file: str, text: str, findings: list[Finding], origins: Mapping[KeyPath, str]
) -> list[Problem]:
    """Give findings their lines; what the environment set is told by its variable."""
    if not findings:
        return []
    lines = key_lines(text)
    placed = []
    for finding in findings:
        path = finding.path
        variable = next(
            (origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins),
            None,
        )
        if variable:
            place: tuple[str, int | None, str] = (_ENVIRONMENT, None, variable)
        else:
            above = (path[:n] for n in range(len(path), 0, -1))
            line = next((lines[part] for part in above if part in lines), None)
            place = (file, line, dotted(path))
        placed.append(Problem(*place, finding.message, finding.nearest))
    return sorted(placed, key=lambda problem: (problem.file, problem.line or 0))


def _build(
    structure: type[Structure],
    document: dict[str, Any],
    file: str,
    problems: list[Problem],
) -> Structure:
    if problems:
        raise ConfigurationError(problems)
    try:
        return msgspec.convert(document, structure)
    except msgspec.ValidationError as error:
        # Only a rule of msgspec's that the checker does not know can come here.
        raise ConfigurationError([Problem(file, None, "", str(error))]) from error


def _override(
    document: dict[str, Any], environment: Mapping[str, str]
) -> tuple[dict[KeyPath, str], list[Problem]]:
    """Lay the environment's settings over the document's.

    A variable with a double underscore is meant for us and must be a known key; another
    one that only resembles a key is told too, since it was likely meant to be one.
    """
    origins: dict[KeyPath, str] = {}
    strangers = []
    for variable in sorted(environment):
        if not variable.startswith(_PREFIX):
            continue
        path = tuple(variable.removeprefix(_PREFIX).lower().split("__"))
        kind = field_type(Settings, path)
        if kind is None or isinstance(kind, inspect.StructType):
            meant = nearest(variable, _variables())
            if len(path) > 1 or meant:
                message = "is not the name of a setting"
                problem = Problem(_ENVIRONMENT, None, variable, message, meant)
                strangers.append(problem)
            continue
        table: Any = document
        for part in path[:-1]:
            table = table.setdefault(part, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[path[-1]] = _from_text(kind, environment[variable])
            origins[path] = variable
    return origins, strangers


def _variables() -> list[str]:
    names = []
    for field in msgspec.structs.fields(Settings):
        inner = field_type(Settings, (field.name,))
        top = _PREFIX + field.name.upper()
        if isinstance(inner, inspect.StructType):
            names += [f"{top}__{key.encode_name.upper()}" for key in inner.fields]
        else:
            names.append(top)
    return names


def _from_text(kind: inspect.Type, text: str) -> object:
    """Read a value as its field's type; what does not fit stays text and is refused."""
    if isinstance(kind, inspect.ListType):
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(kind, inspect.IntType) and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    return text


def _find_setting_conflicts(document: Mapping[str, Any]) -> list[Finding]:
    findings = list(find_shared_listens(document))
    accounting = document.get("accounting")
    if isinstance(accounting, Mapping):
        defaults = Settings().accounting
        stale, close = (
            accounting.get(key, getattr(defaults, key))
            for key in ("stale_after_intervals", "close_after_intervals")
        )
        if type(stale) is type(close) is int and close <= stale:
            key = min(
                accounting.keys() & {"close_after_intervals", "stale_after_intervals"}
            )
            message = f"close_after_intervals ({close}) must be more than "
            message += f"stale_after_intervals ({stale})"
            findings.append(Finding(("accounting", key), message))
    return findings
