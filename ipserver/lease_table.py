"""Every address that was ever given: its state, whose it is, until when.

An address has a slot, and each column is an array over the slots: a lease costs a few
hundred octets, none of which the garbage collector looks at. The slots of a line are a
chain through the table, so a line costs its key and one number. Slots keep their line
when their lease ends: that is how a line gets its address back.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from ipserver.line_texts import LineId
from ipserver.records import BoundColumns

NONE: Final = -1
"""No slot, no line."""

NEW, OFFERED, LEASED, COOLING, FREE, DECLINED = range(6)
"""States of a slot. COOLING goes to its own line only, FREE to anybody; ``until`` of
both says when its lease ended. NEW is one that was made and is not in use yet."""

STATES: Final = 6

OWN, GARDEN, GRACE, SOLD, SUPERSEDED = range(5)
"""What a lease is given for: the service, the walled garden, an excess address. Or it
is superseded: the line has another address instead, on another subnet, and this one is
kept until it ends for the client that may use it still, and not renewed."""

IN_WHEEL, IN_QUEUE, GIVEN_UP, OFFERED_AGAIN = 1, 2, 4, 8
"""Flags of a slot: it waits for its time in the wheel, or in a queue of offers; its
last lease was ended before its time, so that no renewal of it can be meant any more; it
was offered again while it was in the queue, so that its place there is too early."""

_PORTION: Final = 1024
"""Slots that are made at once, of about a hundred octets each."""


class LeaseTable:
    """Slots by address, and lines by their key. Times are seconds, whole.

    ``until`` is when the lease or offer ends; ``started`` when the binding was made,
    ``extended`` when its end was last moved, ``seen`` when its client was last heard.
    """

    def __init__(self) -> None:
        self.slot_of: dict[int, int] = {}
        self.address = array("I")
        self.block = array("I")
        self.line = array("i")
        self.next = array("i")
        self.state = array("B")
        self.kind = array("B")
        self.flags = array("B")
        self.stamp = array("H")
        self.until = array("q")
        self.started = array("q")
        self.extended = array("q")
        self.seen = array("q")
        self.hardware: list[bytes] = []
        self.client_id: list[bytes] = []
        self.agent: list[bytes] = []
        self.line_of: dict[LineId, int] = {}
        self.line_keys: list[LineId] = []
        self.heads = array("i")
        self._slots = 0
        self._spare_slots = array("I")
        self._spare_lines = array("I")

    def add(self, address: int, block: int) -> int:
        """Make a slot for an address that has none."""
        if self._spare_slots:
            slot = self._spare_slots.pop()
            self.address[slot], self.block[slot] = address, block
            self.state[slot] = NEW
        else:
            slot = self._slots
            self._slots += 1
            if slot == len(self.address):
                self._grow()
            self.address[slot], self.block[slot] = address, block
        self.slot_of[address] = slot
        return slot

    def add_bound(
        self,
        bound: BoundColumns,
        blocks: Sequence[int],
        keys: Sequence[LineId],
        state: int,
        flags: int,
    ) -> int:
        """Make slots for bindings of addresses that have none; give the first of them.

        ``keys`` are their lines. The slots are all in a state, with these flags.
        """
        first, count = self._slots, len(bound.addresses)
        end = first + count
        self._slots = end
        self.slot_of.update(zip(bound.addresses, range(first, end), strict=True))
        self._link_all(first, keys)
        self.address[first:end] = array("I", bound.addresses)
        self.block[first:end] = array("I", blocks)
        self.kind[first:end] = array("B", bound.kinds)
        self.state[first:end] = array("B", [state]) * count
        self.flags[first:end] = array("B", [flags]) * count
        self.stamp[first:end] = array("H", [0]) * count
        self.until[first:end] = array("q", bound.expires)
        at = array("q", bound.at)
        for times in (self.started, self.extended, self.seen):
            times[first:end] = at
        self.hardware[first:end] = bound.hardware
        self.client_id[first:end] = bound.client_ids
        self.agent[first:end] = bound.agents
        return first

    def _link_all(self, first: int, keys: Sequence[LineId]) -> None:
        """Make consecutive slots, which are nobody's, these lines'."""
        numbers, heads, fresh = self.line_of, self.heads, len(self.line_keys)
        count = len(keys)
        new = dict(zip(keys, range(fresh, fresh + count), strict=True))
        if len(new) == count and numbers.keys().isdisjoint(new):
            # Nearly all lines have one address.
            numbers.update(new)
            self.line_keys += keys
            heads.extend(range(first, first + count))
            self.line[first : first + count] = array("i", range(fresh, fresh + count))
            self.next[first : first + count] = array("i", [NONE]) * count
            return
        lines, following = array("i"), array("i")
        for slot, key in enumerate(keys, first):
            number = numbers.setdefault(key, fresh)
            if number == fresh:
                fresh += 1
                self.line_keys.append(key)
                heads.append(slot)
                following.append(NONE)
            else:
                following.append(heads[number])
                heads[number] = slot
            lines.append(number)
        self.line[first : first + len(lines)] = lines
        self.next[first : first + len(lines)] = following

    def _grow(self) -> None:
        """Make room for a portion of slots, each column at once."""
        none, zero = [NONE] * _PORTION, [0] * _PORTION
        self.line.extend(none)
        self.next.extend(none)
        for places in (self.address, self.block):
            places.extend(zero)
        for column in (self.state, self.kind, self.flags, self.stamp):
            column.extend(zero)
        for times in (self.until, self.started, self.extended, self.seen):
            times.extend(zero)
        for octets in (self.hardware, self.client_id, self.agent):
            octets.extend([b""] * _PORTION)

    def by_block(self) -> Counter[int]:
        """Count the addresses that have slots, by their blocks."""
        counts = Counter(self.block[: self._slots])
        counts.subtract([self.block[slot] for slot in self._spare_slots])
        return counts

    def remove(self, slot: int) -> None:
        """Forget an address that nobody has."""
        self.unlink(slot)
        del self.slot_of[self.address[slot]]
        self.state[slot] = NEW
        self.stamp[slot] = self.stamp[slot] + 1 & 0xFFFF
        self.hardware[slot] = self.client_id[slot] = self.agent[slot] = b""
        self._spare_slots.append(slot)

    def _new_line(self, key: LineId) -> int:
        """Give a number to a line that has none."""
        if self._spare_lines:
            number = self._spare_lines.pop()
            self.line_keys[number] = key
        else:
            number = len(self.line_keys)
            self.line_keys.append(key)
            self.heads.append(NONE)
        self.line_of[key] = number
        return number

    def link(self, slot: int, key: LineId) -> None:
        """Make a slot a line's."""
        number, before = self.line_of.get(key, NONE), self.line[slot]
        if before != NONE:
            if before == number:
                return
            self.unlink(slot)  # which may end its line, and make room for this one
        if number == NONE:
            number = self._new_line(key)
        self.line[slot] = number
        self.next[slot] = self.heads[number]
        self.heads[number] = slot

    def unlink(self, slot: int) -> None:
        """Take a slot from its line; a line without any is forgotten."""
        number = self.line[slot]
        if number == NONE:
            return
        following = self.next[slot]
        if self.heads[number] == slot:
            self.heads[number] = following
        else:
            before = self.heads[number]
            while self.next[before] != slot:
                before = self.next[before]
            self.next[before] = following
        self.line[slot] = self.next[slot] = NONE
        if self.heads[number] == NONE:
            del self.line_of[self.line_keys[number]]
            self.line_keys[number] = ""
            self._spare_lines.append(number)

    def rename_line(self, old: LineId, new: LineId) -> None:
        """Give the slots of a line to its new name, which has none yet."""
        number = self.line_of.pop(old)
        self.line_of[new] = number
        self.line_keys[number] = new

    def slots_of(self, key: LineId) -> Iterator[int]:
        """Go through the slots of a line, which must not change meanwhile."""
        number = self.line_of.get(key, NONE)
        slot = self.heads[number] if number != NONE else NONE
        while slot != NONE:
            yield slot
            slot = self.next[slot]

    def key_of(self, slot: int) -> LineId:
        """Name the line that has a slot; "" when none has."""
        number = self.line[slot]
        return self.line_keys[number] if number != NONE else ""

    def enter(self, slot: int, flag: int) -> bool:
        """Mark a slot as waiting in the wheel or in a queue; False when it was."""
        flags = self.flags[slot]
        if flags & flag:
            return False
        self.flags[slot] = flags | flag
        return True

    def leave(self, slot: int, flag: int) -> None:
        """Take the mark away."""
        self.flags[slot] &= ~flag
