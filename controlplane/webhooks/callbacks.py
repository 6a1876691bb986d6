"""Posts to callbacks, which are somebody else's URLs.

A callback is not followed to another place, and gets no address inside the operator's
network unless the settings allow that. The HTTP client is imported when there is
somebody to call: it takes a tenth of what the whole role takes to start.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import socket
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import aiohttp

CALLBACKS_AT_ONCE: Final = 32


class CallbackError(Exception):
    """The callback gave no answer; the message says what became of it."""


class AddressRefusedError(OSError):
    """A callback resolves to an address that it may not have."""


def _socket_factory(allow_private: bool) -> Callable[[Any], socket.socket]:
    """Make sockets for public addresses only; names are resolved by then."""

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not allow_private and not ipaddress.ip_address(address[0]).is_global:
            raise AddressRefusedError(f"{address[0]} is not a public address")
        return socket.socket(family, kind, protocol)

    return make


class Callbacks:
    """A client that waits ``seconds`` for an answer at most; ``close`` it."""

    def __init__(self, *, allow_private: bool, seconds: float) -> None:
        self._allow_private = allow_private
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self,
        url: str,
        body: bytes,
        signed: dict[str, str],
        *,
        read: Container[int] = (),
        octets: int = 0,
    ) -> tuple[int, bytes]:
        """Post JSON; give the status and, of an answer whose status is in ``read``, so
        many octets. Raises CallbackError."""
        aiohttp: Any = await asyncio.to_thread(importlib.import_module, "aiohttp")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CALLBACKS_AT_ONCE,
                    socket_factory=_socket_factory(self._allow_private),
                ),
                timeout=aiohttp.ClientTimeout(total=self._seconds),
                trust_env=False,
            )
        try:
            async with self._session.post(
                url,
                data=body,
                headers={"content-type": "application/json", **signed},
                allow_redirects=False,
            ) as answer:
                wanted = answer.status in read
                content = await answer.content.read(octets) if wanted else b""
                return answer.status, content
        except (aiohttp.ClientError, AddressRefusedError, TimeoutError) as error:
            raise CallbackError(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
