"""What a client gives up: an address that is somebody else's, or that it is done with.

A DHCPDECLINE and a DHCPRELEASE are answered by nothing, and are believed of who has the
address only (RFC 2131 sections 4.3.3 and 4.3.4). A line that declines without end is
believed so many times.
"""

from __future__ import annotations

from typing import Final

from ipserver.answer import Answer, Done, Silence
from ipserver.ask import Ask
from ipserver.lease_table import LEASED, NONE, OFFERED
from ipserver.line_leases import same_client
from ipserver.line_texts import LineId
from ipserver.offering import Offering
from ipserver.reasons import Reason

_DECLINING_LINES: Final = 65_536


class GivingUp(Offering):
    """Answers DHCPDECLINE and DHCPRELEASE; the whole is ``ipserver.allocation``."""

    _declines: dict[LineId, list[int]]
    """Of each line, until when what it declined is believed to be bad."""

    def _owned(self, ask: Ask, now: int, states: tuple[int, ...]) -> int:
        """Give the slot of the address that a client speaks of, if it is the client's.

        A relayed client speaks for its own line only, and so does one whose option 82
        was added on the way of a unicast (RFC 3046 section 2.1.1).
        """
        table = self._table
        party = self._party(ask) if ask.area else None
        slot = table.slot_of.get(ask.address, NONE)
        if (
            slot == NONE
            or table.state[slot] not in states
            or table.until[slot] <= now
            or not same_client(table, slot, ask)
        ):
            return NONE
        line = table.key_of(slot)
        if ask.area:
            if party is None or party.line != line:
                return NONE
        elif ask.agent.octets and ask.agent.octets != table.agent[slot]:
            return NONE
        self._line = line
        return slot

    def _decline(self, ask: Ask, now: int) -> Answer:
        """DHCPDECLINE: somebody else uses the address (RFC 2131 section 4.3.3)."""
        slot = self._owned(ask, now, (LEASED, OFFERED))
        if slot == NONE:
            return Silence(Reason.NOT_YOURS)
        line = self._table.key_of(slot)
        declined = [until for until in self._declines.get(line, ()) if until > now]
        settings = self._settings
        until, most = now + settings.quarantine_seconds, settings.declines_per_line
        if len(declined) >= most:
            # One line must not empty the pool: the address only cools down; and who
            # goes on declining gets the same one again.
            record = self._bindings.end(slot, now, Reason.DECLINE_LIMIT)
            if len(declined) < 2 * most:
                self._table.unlink(slot)
                self._declines[line] = [*declined, until]
            return Done(Reason.DECLINE_LIMIT, record)
        if len(self._declines) >= _DECLINING_LINES:
            self._declines = {
                key: times
                for key, times in self._declines.items()
                if times[-1] > now and key != line
            }
        self._declines[line] = [*declined, until]
        return Done(Reason.DECLINED, self._bindings.decline(slot, now, until))

    def _release(self, ask: Ask, now: int) -> Answer:
        """DHCPRELEASE: the client is done (RFC 2131 section 4.3.4)."""
        slot = self._owned(ask, now, (LEASED,))
        if slot == NONE:
            return Silence(Reason.NOT_YOURS)
        record = self._bindings.end(slot, now, Reason.RELEASED)
        return Done(Reason.RELEASED, record)
