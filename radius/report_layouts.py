"""Reports read by the layout of their packet, which is the ledger's quick way.

A NAS builds its packets alike: the same attributes, of the same lengths, in the same
order. Where each value lies then need not be found out again, which is most of the work
of reading a report. A layout is made of a packet that ``read_report`` has read: a mask
over the types and lengths, which every packet of the layout has alike, and two structs
that take out the numbers and the standing attributes. ``read_report`` remains the only
judge: what is refused, or has no layout yet, goes its way.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import Any

from radius.accounting import (
    NUMBERS,
    SESSION_ID,
    SESSION_STATUS,
    STANDING,
    STATUS_TYPE,
    Refused,
    Report,
    read_report,
    report_of,
)
from radius.records import Origin
from radius.request_layouts import form_mask

_LAYOUTS = 8
"""Layouts of one packet length: names of other lengths can make up for one another."""
_LEARN_EVERY = 8
"""Making a layout costs as much as reading two packets; one in so many unknown ones
is enough to have the frequent layouts soon, and bounds what the rare ones cost."""
_FIELDS = (STATUS_TYPE, SESSION_ID, *NUMBERS)
_NONE = (None,)


_Layout = tuple[
    int,
    int,
    Callable[[bytes], tuple[Any, ...]],
    Callable[[tuple[Any, ...]], tuple[Any, ...]],
    Callable[[bytes], tuple[bytes, ...]],
]
"""A mask over types and lengths, and what is expected under it; then what takes out the
numbers, puts them in order, and takes out the standing attributes. It is a plain tuple
since that is taken apart for each packet."""


def _layout_of(like: bytes) -> _Layout:
    numbers, standing = ["!20x"], ["!20x"]
    run = 0
    found: dict[int, int] = {}
    values = 0
    for kind, length in _attributes(like):
        value = "I" if length == 6 else ""
        if kind == SESSION_ID:
            value = f"{length - 2}s"
        if value and kind in _FIELDS:
            found[kind] = values  # of several the last one, as in the walk
            values += 1
            numbers.append(f"2x{value}")
        else:
            numbers.append(f"{length}x")
        if kind in STANDING:
            run += length
        else:
            standing.append(f"{run}s{length}x" if run else f"{length}x")
            run = 0
    standing.append(f"{run}s")
    over_types = int.from_bytes(form_mask(like))
    return (
        over_types,
        int.from_bytes(like) & over_types,
        struct.Struct("".join(numbers)).unpack,
        # An absent value is picked from behind the values, where None is put.
        itemgetter(*(found.get(kind, values) for kind in _FIELDS)),
        struct.Struct("".join(standing)).unpack,
    )


def _attributes(packet: bytes) -> Iterator[tuple[int, int]]:
    place = 20
    while place < len(packet):
        length = packet[place + 1]
        yield packet[place], length
        place += length


class ReportReader:
    """Reads reports as ``read_report`` does, and learns layouts.

    ``max_clock_skew_seconds`` is how far in the future an Event-Timestamp may lie.
    """

    def __init__(self, max_clock_skew_seconds: int) -> None:
        self._skew = max_clock_skew_seconds
        self._layouts: dict[int, list[_Layout]] = {}
        self._unknown = 0

    def read(
        self, records: Iterable[tuple[Origin, bytes]], received_at: int
    ) -> list[Report | Refused]:
        """Read packets that arrived at ``received_at``, in seconds since 1970, each as
        the NAS's that sent it."""
        reports: list[Report | Refused] = []
        layouts_of, skew, append = self._layouts.get, self._skew, reports.append
        from_bytes, join = int.from_bytes, b"".join
        for origin, packet in records:
            octets = from_bytes(packet)
            for mask, expected, numbers, pick, standing in layouts_of(len(packet), ()):
                if octets & mask == expected:
                    values = pick(numbers(packet) + _NONE)
                    if values[0] in SESSION_STATUS:
                        raw = join(standing(packet))
                        append(report_of(values, raw, origin.nas, received_at, skew))
                    else:
                        append(self._walk(packet, origin.nas, received_at))
                    break
            else:
                append(self._walk(packet, origin.nas, received_at))
        return reports

    def _walk(self, packet: bytes, nas: str, received_at: int) -> Report | Refused:
        report = read_report(
            packet,
            nas=nas,
            received_at=received_at,
            max_clock_skew_seconds=self._skew,
        )
        self._unknown += 1
        if self._unknown % _LEARN_EVERY == 0:
            self._learn(packet, report)
        return report

    def _learn(self, packet: bytes, report: Report | Refused) -> None:
        if type(report) is not Report or report.status not in SESSION_STATUS:
            return
        layouts = self._layouts.setdefault(len(packet), [])
        layouts.insert(0, _layout_of(packet))
        del layouts[_LAYOUTS:]
