"""Log lines for journald, machines and eyes; repeated lines held back."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from telemetry import logs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Give the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_has_one_object_a_line_with_level_time_and_role() -> None:
    """Our own lines and those of libraries have the same shape."""
    stream = io.StringIO()
    logs.configure("info", role="ledger", form="json", stream=stream)
    logs.get_logger("x").info("applied", records=3)
    logging.getLogger("some.library").warning("odd %s", "thing")
    ours, theirs = map(json.loads, stream.getvalue().splitlines())

    assert ("applied", 3, "ledger", "info") == (
        ours["event"],
        ours["records"],
        ours["role"],
        ours["level"],
    )
    assert ("odd thing", "warning") == (theirs["event"], theirs["level"])
    assert ours["timestamp"].endswith("Z")


def test_level_is_the_least_severe_that_is_written() -> None:
    """info is silent at warning."""
    stream = io.StringIO()
    logs.configure("warning", form="json", stream=stream)
    logs.get_logger("x").info("quiet")
    logs.get_logger("x").warning("loud")

    assert ["loud"] == [json.loads(x)["event"] for x in stream.getvalue().splitlines()]


@pytest.mark.parametrize("form", ["json", "logfmt", "console"])
def test_a_traceback_shows_no_local_variable(form: logs.Form) -> None:
    """What is in one may be a password."""
    stream = io.StringIO()
    logs.configure("info", form=form, stream=stream)

    def refuse(password: str) -> None:
        raise ValueError(f"{len(password)} characters")

    secret = "hunter" + "2"
    try:
        refuse(secret)
    except ValueError:
        logs.get_logger("x").exception("refused")

    assert "7 characters" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_logfmt_keeps_a_traceback_on_one_line() -> None:
    """A line is an event, whatever is in it."""
    stream = io.StringIO()
    logs.configure("info", form="logfmt", stream=stream)
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logs.get_logger("x").exception("broken")

    assert len(stream.getvalue().splitlines()) == 1
    assert "ValueError" in stream.getvalue()


def test_journald_gets_a_priority_before_each_line() -> None:
    """JOURNAL_STREAM with the device and inode of standard output is journald."""
    read, write = os.pipe()
    status = os.fstat(write)
    environment = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    code = (
        "from telemetry import logs; logs.configure('info');"
        "logs.get_logger('x').error('bad'); logs.get_logger('x').info('good')"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        stdout=write,
        env=environment,
        cwd=ROOT,
        check=True,
    )
    os.close(write)
    with os.fdopen(read) as lines:
        bad, good = lines.read().splitlines()

    assert bad.startswith("<3>")
    assert good.startswith("<6>")
    assert "event=good" in good


def test_another_journal_stream_is_not_ours() -> None:
    """A shell started by a service inherits the variable, not the stream."""
    with open(os.devnull, "w") as stream:  # noqa: PTH123
        assert logs.form_for({"JOURNAL_STREAM": "1:2"}, stream) == "json"
        assert logs.form_for({"JOURNAL_STREAM": "junk"}, stream) == "json"


def test_every_line_of_several_gets_the_priority() -> None:
    """journald splits at newlines; a bare line would be info."""
    assert "<4>a\n<4>b" == logs.priority_prefix("a\nb", "warning")


def test_rate_limiter_passes_one_an_interval_and_tells_how_many_it_held() -> None:
    """The first passes, the others are counted, the next tells their number."""
    limiter = logs.RateLimiter(10.0)

    assert 0 == limiter.allow("a", 100.0)
    assert [None, None] == [limiter.allow("a", 101.0), limiter.allow("a", 109.9)]
    assert 0 == limiter.allow("b", 101.0)
    assert 2 == limiter.allow("a", 110.0)
    assert limiter.allow("a", 111.0) is None


def test_rate_limiter_is_bounded_in_keys_and_lines() -> None:
    """A flood of keys costs no memory, and the keys beyond share one place."""
    limiter = logs.RateLimiter(10.0, keys=4)
    passed = sum(limiter.allow(str(n), 100.0) is not None for n in range(1000))

    assert passed <= 5
    assert 0 == limiter.allow("new", 200.0)


def test_rate_limiter_survives_a_clock_that_steps_back() -> None:
    """A line is not held back for ever."""
    limiter = logs.RateLimiter(10.0)
    limiter.allow("a", 100.0)

    assert limiter.allow("a", 50.0) is not None
