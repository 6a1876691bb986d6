"""Answers to Access-Requests: built, remembered, delayed when they refuse, sent.

A retransmission gets the octets that the first request got, once there are any (RFC
5080 section 2.2.2). A reject leaves a second late: guessing is slow, and nothing is
held meanwhile but the finished answer. Accepts of one read leave in one call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from config.schema import AccessSettings
from radius.access_reply import access_reply
from radius.access_request import Refusal
from radius.asked import Asked, WayOut
from radius.duplicates import Duplicates
from radius.outcomes import Drop, Sighting, Statistics
from radius.packet import Code

_REMEMBERED = 200_000
"""Answers kept for retransmissions, per generation; they have some 200 octets."""


class Answers:
    """What became of each request, and the way out.

    ``call_later`` takes seconds and what to call then; ``monotonic`` gives seconds.
    """

    def __init__(
        self,
        *,
        statistics: Statistics,
        settings: AccessSettings,
        duplicate_seconds: int,
        monotonic: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._statistics = statistics
        self._settings = settings
        self._duplicate_seconds = duplicate_seconds
        self._monotonic = monotonic
        self._call_later = call_later
        self._duplicates: dict[WayOut, Duplicates[bytes]] = {}
        self._ready: dict[WayOut, list[tuple[bytes, bytes, bytes]]] = {}
        self._rejects: deque[tuple[float, Asked, bytes]] = deque()
        self.watch: Callable[[Sighting], None] | None = None

    def turn(self, now: float) -> None:
        """Let go of answers that no retransmission can ask for any more."""
        for duplicates in self._duplicates.values():
            duplicates.turn(now)

    def is_new(self, asked: Asked) -> bool:
        """Take note of a request; one that was seen before is dealt with here."""
        duplicates = self._duplicates.get(asked.endpoint)
        if duplicates is None:
            duplicates = self._duplicates[asked.endpoint] = Duplicates(
                lifetime=self._duplicate_seconds, limit=_REMEMBERED
            )
        known = duplicates.known(asked.key)
        if known is None:
            duplicates.young[asked.key] = b""
            return True
        self._statistics.duplicates[asked.client.name] += 1
        if known:
            self._send(asked, known, "answered_again")
        else:
            self._count_drop(asked, Drop.IN_PROGRESS)
        return False

    def finish(self, asked: Asked, code: int, attributes: bytes, result: str) -> None:
        """Answer now, or at the end of the read; ``result`` is what is counted."""
        answer = access_reply(
            code, asked.packet, asked.secret, attributes, asked.proxy_states
        )
        if self.watch is not None:
            self._see(asked, result.replace("_", " "))
        self._answered(asked, answer, result)

    def reject(self, asked: Asked, reason: Refusal, attributes: bytes = b"") -> None:
        """Refuse after the delay; beyond the rejects that may wait there is silence."""
        if len(self._rejects) >= self._settings.waiting_rejects:
            self.drop(asked, Drop.QUEUE_FULL)
            return
        answer = access_reply(
            Code.ACCESS_REJECT,
            asked.packet,
            asked.secret,
            attributes,
            asked.proxy_states,
        )
        self._statistics.refused[asked.client.name, reason] += 1
        self._see(asked, f"rejected {reason}")
        delay = self._settings.reject_delay_milliseconds / 1000
        self._rejects.append((self._monotonic() + delay, asked, answer))
        if len(self._rejects) == 1:
            self._call_later(delay, self._send_rejects)

    def _send_rejects(self) -> None:
        now = self._monotonic()
        while self._rejects and self._rejects[0][0] <= now:
            _, asked, answer = self._rejects.popleft()
            self._answered(asked, answer, "rejected")
        if self._rejects:
            self._call_later(max(0.0, self._rejects[0][0] - now), self._send_rejects)
        self.flush()

    def drop_unseen(self, asked: Asked, reason: Drop) -> None:
        """Leave alone what is not genuine: answers that are kept stay as they are."""
        self._count_drop(asked, reason)

    def drop(self, asked: Asked, reason: Drop) -> None:
        """Leave a request without an answer; its retransmission is a new one."""
        duplicates = self._duplicates.get(asked.endpoint)
        if duplicates is not None:
            duplicates.forget([asked.key])
        self._count_drop(asked, reason)

    def _answered(self, asked: Asked, answer: bytes, result: str) -> None:
        if not answer:
            self.drop(asked, Drop.LONG_ANSWER)
            return
        self._duplicates[asked.endpoint].young[asked.key] = answer
        self._send(asked, answer, result)

    def _send(self, asked: Asked, answer: bytes, result: str) -> None:
        self._statistics.requests[asked.client.name, "access", result] += 1
        replies = self._ready.setdefault(asked.endpoint, [])
        replies.append((answer, asked.address, asked.local))

    def flush(self) -> None:
        """Send what is ready."""
        for endpoint, replies in self._ready.items():
            if replies:
                endpoint.send(replies)
                self._ready[endpoint] = []

    def _count_drop(self, asked: Asked, reason: Drop) -> None:
        self._statistics.dropped[asked.client.name, reason] += 1
        self._see(asked, reason)

    def _see(self, asked: Asked, outcome: str) -> None:
        if self.watch is not None:
            name = asked.client.name
            self.watch(Sighting(asked.packet, asked.address, name, outcome))
