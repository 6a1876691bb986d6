"""The usage of a batch: what touches is one record, so that it takes fewer rows.

Of each session only the last record of the batch can go on, so that one is known.
"""

from __future__ import annotations

from rating.session import Session, Usage


class JoinedUsage:
    """Usage records in the order they came about, none longer than ``join_seconds``.

    ``joined`` says of each how many differences it joins, ``used`` whose it is.
    """

    def __init__(self, join_seconds: int) -> None:
        self._join_seconds = join_seconds
        self.clear()

    def clear(self) -> None:
        """Begin the next batch, in lists of its own."""
        self.usage: list[Usage] = []
        self.joined: list[int] = []
        self.used: list[Session] = []
        self._last: dict[int, int] = {}

    def add(self, usage: Usage, session: Session) -> None:
        """Add a record, joined to the session's last one of this batch if both were
        reported alike, touch, and stay short enough together."""
        place = self._last.get(session.id)
        if place is not None:
            last = self.usage[place]
            if (
                last.derived is usage.derived
                and last.ended_at == usage.started_at
                and usage.ended_at - last.started_at <= self._join_seconds
            ):
                self.usage[place] = _sum(last, usage)
                self.joined[place] += 1
                return
        self.add_first(usage, session)

    def add_first(self, usage: Usage, session: Session) -> None:
        """Add a record that joins none before it, as is the first of a session."""
        self._last[session.id] = len(self.usage)
        self.usage.append(usage)
        self.joined.append(1)
        self.used.append(session)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.session_id,
        one.started_at,
        other.ended_at,
        one.seconds + other.seconds,
        one.input_octets + other.input_octets,
        one.output_octets + other.output_octets,
        one.input_packets + other.input_packets,
        one.output_packets + other.output_packets,
        one.derived,
    )
