"""The report that nearly every one is, and the quick way to apply it.

A session goes on: it is open, and an Interim-Update comes that is later on its own time
than all before it, shows all counters, and none of them fell. What ``rating.session``
has to ask of any other report is known of this one, so one look at its fields and at
the session's is enough. Whatever is not so is left to ``rating.session.apply``, with
which this always agrees.
"""

from __future__ import annotations

from functools import partial

from radius.accounting import Report, Status
from rating.counters import Derived, rise
from rating.session import Session, State, Usage

# Where the names would be looked up for each report.
_INTERIM_UPDATE = int(Status.INTERIM_UPDATE)
_OPEN, _REPORTED = State.OPEN, Derived.REPORTED
_new_usage = partial(tuple.__new__, Usage)


def go_on(session: Session, report: Report) -> Usage | None:
    """Do as ``apply`` does with the report that nearly every one is, and give None,
    with nothing done, for any other: an Interim-Update of an open session, later on its
    own time than all before, each counter there and none fallen.
    """
    # A plain tuple is taken apart at once; each field by its name is twice the time.
    (
        status,
        _,
        _,
        received_at,
        event_at,
        _,
        _,
        at,
        octets_in,
        octets_out,
        packets_in,
        packets_out,
        gigawords,
    ) = report[:13]
    if (
        status != _INTERIM_UPDATE
        or at is None
        or at <= session.seconds
        or session.state is not _OPEN
    ):
        return None
    shown = octets_in, octets_out, packets_in, packets_out
    step = rise(session.counters, at, shown)
    if step is None:
        return None
    session.counters, (octets_in, octets_out, packets_in, packets_out) = step
    if received_at > session.last_arrival_at:
        session.last_arrival_at = received_at
    if gigawords:
        session.gigawords = True
    seconds = at - session.seconds
    session.seconds = at
    began = ended = session.last_seen_at
    if event_at > began:
        session.last_seen_at = ended = event_at
    return _new_usage(
        (
            session.id,
            began,
            ended,
            seconds,
            octets_in,
            octets_out,
            packets_in,
            packets_out,
            _REPORTED,
        )
    )
