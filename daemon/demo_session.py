"""The demo's session: a PPPoE subscriber logs in, goes online, and uses the network.

Every step says what was sent, what came back and what it means; what is recorded is
shown as ``fairlane sessions`` and ``fairlane usage`` show it.
"""

from __future__ import annotations

from typing import Any, Final

from daemon import clock
from daemon.demo_nas import WRAP, Bng, Chapter, Session
from daemon.demo_telling import Rows, StoryError, expect, fairlane, say, show, wait_for
from daemon.preparation import Plan
from radius.accounting import Status
from radius.attributes import attributes
from radius.packet import Code

USER: Final = "sub101@aurora.example"
_CIRCUIT, _ADDRESS = "ge-0/0/1:101", "100.64.0.101"
_SECONDS = 3000

STORY: Final = (
    Chapter(Status.START, 0),
    Chapter(Status.INTERIM_UPDATE, 900, 120_000_000, 3_900_000_000),
    Chapter(Status.INTERIM_UPDATE, 1800, 260_000_000, 4_800_000_000),
    Chapter(Status.INTERIM_UPDATE, 2700, 390_000_000, 5_600_000_000),
    Chapter(Status.STOP, _SECONDS, 430_000_000, 5_850_000_000),
)
_NAMES = {
    Status.START: "Start",
    Status.INTERIM_UPDATE: "Interim-Update",
    Status.STOP: "Stop",
}


def tell(plan: Plan) -> str:
    """Play the session and print it; give its Acct-Session-Id."""
    bng = Bng(plan)
    say(
        f"{USER} on line {_CIRCUIT}, as the NAS {bng.nas.name} reports it to",
        f"{bng.accounting}. The session began {_SECONDS // 60} minutes ago and ends"
        " now.",
    )
    with bng.connected():
        token = _login(plan, bng)
        # The session begins so long ago that it ends now.
        now = clock.now()
        name, began = f"demo-{int(now * 1000):x}", int(now) - _SECONDS
        session = Session(name, USER, _CIRCUIT, _ADDRESS, began, token)
        for number, chapter in enumerate(STORY, start=1):
            _report(bng, session, number, chapter)
    _outcome(plan, session)
    return session.session_id


def password_of(plan: Plan, user: str) -> str:
    """Give the password of a user as the network file has it."""
    for service in plan.network.service if plan.network else ():
        if user in service.user_names and service.password:
            return service.password
    raise StoryError(f"the network has no password of {user}")


def _login(plan: Plan, bng: Bng) -> bytes:
    """Have the subscriber let in; give the Class token of its session."""
    request = bng.login(USER, password_of(plan, USER), _CIRCUIT)
    say(
        "",
        f"{USER} dials in with its password, by PAP.",
        f"   -> Access-Request to {bng.authentication}, identifier {request[1]},"
        f" {len(request)} octets, signed",
    )
    answer, milliseconds = bng.ask(request)
    expect("the answer's code", answer[0], Code.ACCESS_ACCEPT)
    say(f"   <- Access-Accept, signature good, after {milliseconds:.1f} ms:")
    decoded = attributes(answer)
    show(
        [
            {"attribute": found.name, "value": found.value}
            for found in decoded
            if found.name != "Message-Authenticator"
        ],
        ("attribute", "value"),
        margin="      ",
    )
    tokens = [found.raw for found in decoded if (found.vendor, found.type) == (0, 25)]
    expect("the number of Class attributes", len(tokens), 1)
    return tokens[0]


def _report(bng: Bng, session: Session, number: int, chapter: Chapter) -> None:
    before = STORY[max(0, number - 2)]
    wraps = chapter.down_octets // WRAP > before.down_octets // WRAP
    lost = chapter is STORY[3]
    name = _NAMES[chapter.status]
    say("", f"{number}. {name}, {chapter.at // 60} minutes into the session")
    if chapter.status == Status.START:
        say(f"   {USER} goes online with the address {_ADDRESS}.")
    else:
        say(
            f"   The counters show {chapter.up_octets % WRAP:,} octets up and"
            f" {chapter.down_octets % WRAP:,} down."
        )
    if wraps:
        say(
            "   Down was more before: this NAS counts with 32 bits, and its counter",
            f"   went round through {WRAP:,}.",
        )
    request = bng.report(session, chapter)
    say(
        f"   -> Accounting-Request, identifier {request[1]}, {len(request)} octets,"
        f" session {session.session_id}"
    )
    answer, milliseconds = bng.ask(request)
    if lost:
        say(
            "   <- (the answer is lost on its way, and the NAS never sees it)",
            "   -> the same request again, octet for octet",
        )
        first, (answer, milliseconds) = answer, bng.ask(request)
        if answer != first:
            raise StoryError("the retransmission got another answer")
    say(
        f"   <- Accounting-Response, signature good, after {milliseconds:.1f} ms:"
        " the report is on disk."
    )
    if lost:
        say(
            "      It is the same answer, octet for octet, and the use in the report",
            "      will count once.",
        )


def _outcome(plan: Plan, told: Session) -> None:
    session, usage = recorded(plan, told.session_id)
    say("", "The session, as fairlane sessions shows it:", "")
    show([session], _SESSION_COLUMNS, margin="")
    say("", "Its usage, as fairlane usage shows it, one record a difference:", "")
    show(usage, _USAGE_COLUMNS, margin="")
    last = STORY[-1]
    expect("seconds", session["seconds"], last.at)
    for word, wanted in (
        ("input_octets", last.up_octets),
        ("output_octets", last.down_octets),
    ):
        expect(word, session[word], wanted)
        expect(f"the sum of {word}", sum(row[word] for row in usage), wanted)
    derived = [row["derived"] for row in usage]
    expect("derived", derived, ["reported", "wrapped", "reported", "reported"])
    say(
        "",
        f"All {last.down_octets:,} octets down are there, though the NAS can show no",
        f"more than {WRAP - 1:,}: the record that is derived as wrapped has the way",
        "round. Five reports, one sent twice, and nothing is counted twice.",
    )


_SESSION_COLUMNS = (
    "acct_session_id",
    "user_name",
    "framed_ip_address",
    "state",
    "seconds",
    "input_octets",
    "output_octets",
    "terminate_cause",
)
_USAGE_COLUMNS = (
    "started_at",
    "ended_at",
    "seconds",
    "input_octets",
    "output_octets",
    "derived",
)


def recorded(plan: Plan, session_id: str) -> tuple[dict[str, Any], Rows]:
    """Wait until the ledger has applied the Stop; give the session and its usage."""

    def look() -> dict[str, Any] | None:
        found = fairlane(plan, "sessions", "--session", session_id, "--state", "closed")
        return found[0] if len(found) == 1 else None

    session = wait_for("record of the session", look)
    return session, fairlane(plan, "usage", "--session", session_id)
