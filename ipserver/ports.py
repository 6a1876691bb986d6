"""What the server needs of the world: sockets, a journal, somebody who decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ipserver.answer import Answer
from ipserver.ask import Ask

Received = tuple[bytes, bytes, bytes]
"""Octets, the sender's sockaddr, the local address they came to."""

Reply = tuple[bytes, bytes, bytes]
"""Octets, the sockaddr they go to, the local address they leave from."""


RECEIVED_AT_ONCE: Final = 64
"""What an endpoint gives of more; fewer are all that waited."""


class Endpoint(Protocol):
    """A bound socket; ``daemon.datagrams`` has the real one."""

    def receive(self) -> Sequence[Received]:
        """Give some datagrams that wait, or none."""

    def send(self, replies: list[Reply]) -> int:
        """Send replies; give how many left."""


class Commits(Protocol):
    """The journal's group commit; ``storage.group_commit`` has it."""

    @property
    def busy(self) -> bool:
        """Whether a commit is under way."""

    @property
    def accepts(self) -> bool:
        """Whether a block may be tried now."""

    def commit(
        self,
        octets: bytes,
        *,
        records: int,
        received_at_ns: int,
        done: Callable[[Exception | None], None],
    ) -> None:
        """Make a block durable and tell how it ended."""


class Answers(Protocol):
    """Who decides; ``ipserver.allocation`` does. ``now`` is its clock, in seconds."""

    def answer(self, ask: Ask, now: float) -> Answer:
        """Decide."""

    def pool_leasing(self, address: int) -> str:
        """Name the pool that leases an address, borrowed ones included; "" for none."""
