"""Sessions and usage as people and programs read them: `fairlane sessions`, `usage`.

Rows stream from the database, so a million of them need no memory; they come in the
order in which they came about, the newest last. The names are those of the JSON that
the commands print, and stay what they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    ScalarSelect,
    Select,
    func,
    or_,
    select,
    text,
)

from config.moment import moment
from radius.mac_address import mac_address
from storage.rating_tables import unrated_usage
from storage.tables import USAGE_RUN, session, usage, usage_run
from storage.usage_states import RATED, WAITING, states_of

_ROWS_AT_ONCE: Final = 1000
_DAY_SECONDS: Final = 86_400

# Acct-Terminate-Cause: RFC 2866 section 5.10, from 19 on RFC 3580 section 2.2 and IANA.
TERMINATE_CAUSES: Final = dict(
    enumerate(
        (
            "User-Request",
            "Lost-Carrier",
            "Lost-Service",
            "Idle-Timeout",
            "Session-Timeout",
            "Admin-Reset",
            "Admin-Reboot",
            "Port-Error",
            "NAS-Error",
            "NAS-Request",
            "NAS-Reboot",
            "Port-Unneeded",
            "Port-Preempted",
            "Port-Suspended",
            "Service-Unavailable",
            "Callback",
            "User-Error",
            "Host-Request",
            "Supplicant-Restart",
            "Reauthentication-Failure",
            "Port-Reinitialized",
            "Port-Administratively-Disabled",
            "Lost-Power",
        ),
        start=1,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What to list; None lists all.

    A period takes what overlaps it, `since` included and `until` not, in epoch
    seconds. With a `limit`, the newest are listed.
    """

    tenant: str | None = None
    nas: str | None = None
    user: str | None = None
    session: str | None = None
    state: str | None = None
    since: int | None = None
    until: int | None = None
    limit: int | None = None
    status: str | None = None
    """How far the rating of usage is (``storage.usage_states``)."""
    with_status: bool = False


def list_sessions(connection: Connection, wanted: Filter) -> Iterator[dict[str, Any]]:
    """The sessions that match, oldest first, as JSON-ready objects."""
    conditions = _of_session(wanted)
    if wanted.since is not None:
        # A live session goes on, whenever it was last heard of. The numbers come from
        # two indexes: alternatives in one condition would read every session.
        live = select(session.c.id).where(text("state <> 'closed'"))
        stopped = select(session.c.id).where(
            session.c.stopped_at.is_not(None), session.c.stopped_at >= wanted.since
        )
        conditions += [
            session.c.id.in_(live.union_all(stopped)),
            or_(
                session.c.state != "closed",
                session.c.stopped_at > wanted.since,
                session.c.started_at == wanted.since,
            ),
        ]
    if wanted.until is not None:
        conditions.append(session.c.started_at < wanted.until)
    columns = select(session, _BUNDLE_COMPLETE)
    query = _newest(columns, session, conditions, session.c.id, wanted.limit)
    for row in _stream(connection, query):
        yield _session_object(row)


def list_usage(connection: Connection, wanted: Filter) -> Iterator[dict[str, Any]]:
    """The usage records that match, oldest first, as JSON-ready objects."""
    conditions = _of_session(wanted)
    if wanted.since is not None:
        conditions.append(usage.c.id >= _first_since(wanted.since))
        conditions.append(
            or_(
                usage.c.ended_at > wanted.since,
                # A record without length belongs to the moment that it names.
                usage.c.started_at == wanted.since,
            )
        )
    if wanted.until is not None:
        conditions.append(usage.c.started_at < wanted.until)
    both = usage.join(session, usage.c.session_id == session.c.id)
    columns = (
        session.c.nas,
        session.c.acct_session_id,
        session.c.user_name,
        session.c.framed_ip_address,
        session.c.calling_station_id,
        session.c.service,
        session.c.started_at.label("session_started_at"),
    )
    query: Select[Any] = select(*usage.c, *columns).select_from(both)
    if wanted.status in WAITING:
        waits = select(unrated_usage.c.usage_id)
        waits = waits.where(unrated_usage.c.state == wanted.status)
        conditions.append(usage.c.id.in_(waits))
    if wanted.status is None or wanted.status in WAITING:
        query = _newest(query, both, conditions, usage.c.id, wanted.limit)
    else:  # it is found out row by row
        query = _newest(query, both, conditions, usage.c.id, None)
    rows = _stream(connection, query)
    if wanted.status is None and not wanted.with_status:
        yield from map(_usage_object, rows)
        return
    found = _with_status(connection, rows, wanted.status)
    if wanted.limit is None:
        yield from found
    else:
        yield from deque(found, maxlen=wanted.limit)


def rated_usage_over(
    connection: Connection, tenant: str, start: int, end: int
) -> Iterator[Row[Any]]:
    """The usage records of an ISP that run through a span (epoch seconds) and were
    rated, in order of id, each with its session's nas, id, start, user and service."""
    waits = select(unrated_usage.c.usage_id)
    query = (
        select(
            *usage.c,
            session.c.nas,
            session.c.acct_session_id,
            session.c.user_name,
            session.c.service,
            session.c.started_at.label("session_started_at"),
        )
        .select_from(usage.join(session, usage.c.session_id == session.c.id))
        .where(
            usage.c.id >= _first_since(start),
            usage.c.tenant == tenant,
            usage.c.started_at < end,
            # A record without length is in the second that it names.
            or_(usage.c.ended_at > start, usage.c.started_at >= start),
            usage.c.id.not_in(waits),
        )
        .order_by(usage.c.id)
    )
    return _stream(connection, query)


def _with_status(
    connection: Connection, rows: Iterator[Row[Any]], status: str | None
) -> Iterator[dict[str, Any]]:
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        states = states_of(connection, some[0].id, some[-1].id)
        for row in some:
            state, reason = states.get(row.id, RATED)
            if status in (None, state):
                yield _usage_object(row) | {
                    "service": row.service,
                    "status": state,
                    "reason": reason,
                }


def _first_since(since: int) -> ScalarSelect[Any]:
    """Say before which id no usage ends behind an epoch second.

    A rolled-up record may end up to a day later than the one whose id it has.
    """
    return (
        select(func.min(usage_run.c.run) * USAGE_RUN)
        .where(usage_run.c.latest_end > since - _DAY_SECONDS)
        .scalar_subquery()
    )


_LINK = session.alias("link")
_BUNDLE_COMPLETE: Final = (
    select(
        func.count().filter(_LINK.c.close_derived == "stop")
        >= func.max(_LINK.c.link_count)
    )
    .where(
        session.c.acct_multi_session_id.is_not(None),
        _LINK.c.nas == session.c.nas,
        _LINK.c.acct_multi_session_id == session.c.acct_multi_session_id,
    )
    .scalar_subquery()
    .cast(Boolean)
    .label("bundle_complete")
)
"""Whether every link of a multilink bundle has stopped: as many Stops as there were
links at the most (RFC 2866 section 5.12). Null for a session that is in no bundle."""


def _of_session(wanted: Filter) -> list[ColumnElement[bool]]:
    asked = (
        (session.c.tenant, wanted.tenant),
        (session.c.nas, wanted.nas),
        (session.c.user_name, wanted.user),
        (session.c.acct_session_id, wanted.session),
        (session.c.state, wanted.state),
    )
    return [column == value for column, value in asked if value is not None]


def _newest(
    query: Select[Any],
    source: FromClause,
    conditions: list[ColumnElement[bool]],
    number: ColumnElement[int],
    limit: int | None,
) -> Select[Any]:
    """Order by number; with a limit take the highest, and still begin at the lowest."""
    if limit is None:
        return query.where(*conditions).order_by(number)
    highest = select(number).select_from(source).where(*conditions)
    numbers = highest.order_by(number.desc()).limit(limit).subquery()
    return query.where(number.in_(select(numbers.c.id))).order_by(number)


def _stream(connection: Connection, query: Select[Any]) -> Iterator[Row[Any]]:
    return iter(
        connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE})
    )


def _session_object(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "nas": row.nas,
        "nas_identity": row.nas_identity,
        "acct_session_id": row.acct_session_id,
        "acct_multi_session_id": row.acct_multi_session_id,
        "user_name": row.user_name,
        "class": None if row.class_ is None else bytes(row.class_).hex(),
        "framed_ip_address": row.framed_ip_address,
        "framed_ipv6_prefixes": _several(row.framed_ipv6_prefixes),
        "delegated_ipv6_prefixes": _several(row.delegated_ipv6_prefixes),
        "framed_ipv6_addresses": _several(row.framed_ipv6_addresses),
        "framed_interface_id": row.framed_interface_id,
        "calling_station_id": row.calling_station_id,
        "calling_station_mac": mac_address(row.calling_station_id or ""),
        "called_station_id": row.called_station_id,
        "nas_port_id": row.nas_port_id,
        "agent_circuit_id": row.agent_circuit_id,
        "agent_remote_id": row.agent_remote_id,
        "link_count": row.link_count,
        "bundle_complete": row.bundle_complete,
        "state": row.state,
        "started_at": _time(row.started_at),
        "started_derived": row.started_derived,
        "last_seen_at": _time(row.last_seen_at),
        "stopped_at": _time(row.stopped_at),
        "terminate_cause": _cause(row.terminate_cause),
        "close_derived": row.close_derived,
        "seconds": row.seconds,
        "input_octets": row.input_octets,
        "output_octets": row.output_octets,
        "input_packets": row.input_packets,
        "output_packets": row.output_packets,
    }


def _usage_object(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "session_id": row.session_id,
        "nas": row.nas,
        "acct_session_id": row.acct_session_id,
        "user_name": row.user_name,
        "framed_ip_address": row.framed_ip_address,
        "calling_station_id": row.calling_station_id,
        "session_started_at": _time(row.session_started_at),
        "started_at": _time(row.started_at),
        "ended_at": _time(row.ended_at),
        "seconds": row.seconds,
        "input_octets": row.input_octets,
        "output_octets": row.output_octets,
        "input_packets": row.input_packets,
        "output_packets": row.output_packets,
        "derived": row.derived,
        "records": row.records,
        "rolled_up": row.rolled_up,
    }


def _time(epoch_seconds: int | None) -> str | None:
    return None if epoch_seconds is None else moment(epoch_seconds)


def _several(words: str | None) -> list[str]:
    return words.split() if words else []


def _cause(number: int | None) -> str | None:
    return None if number is None else TERMINATE_CAUSES.get(number, str(number))
