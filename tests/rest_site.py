"""REST over a small network: clients of every role, and a clock moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from litestar import Litestar
from litestar.testing import TestClient
from provisioning_site import Site, fill

from controlplane.desk import Desk
from controlplane.rest.application import Check, build
from controlplane.rest.context import Clocks, Context
from services.clients import Credentials, Token, add_client, issue_token
from services.order_assessment import Keys
from services.orders import place_all
from services.principal import Role
from services.provisioning import Provisioning
from services.qualification import qualify
from storage.database import Database

OWNERS = {
    Role.ISP_SYSTEM: ("aurora", "borealis"),
    Role.ISP_CSR: ("aurora", "borealis"),
    Role.ISP_READER: ("aurora",),
    Role.BSP_SYSTEM: ("filmhouse",),
    Role.NETWORK_SYSTEM: (None,),
    Role.NETWORK_CSR: (None,),
    Role.NETWORK_READER: (None,),
    Role.CLIENT_SOFTWARE: (None,),
}


def bare_context(database: Database, now: Callable[[], float]) -> Context:
    """What routes need that ask neither for orders nor for qualifications."""
    return Context(
        database=database,
        clocks=Clocks(now=now, monotonic=now),
        provisioning=Provisioning(database),
        orders=Desk(lambda commands: [], 1),
        qualifications=Desk(lambda queries: [], 1),
        new_id=lambda: "id",
        keys=Keys(lambda isp, service, password: f"{isp}/{service}", b"", b""),
    )


class RestSite(Site):
    """The network at work, with REST in front of it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        fill(database)
        self.headers: dict[tuple[Role, str | None], dict[str, str]] = {}
        for role, owners in OWNERS.items():
            for owner in owners:
                self.headers[role, owner] = self._authorized(role, owner)
        self.application: Litestar = build(
            checks=lambda: [Check("tests", True)],
            metrics=bytes,
            version="1",
            context=self._context(),
        )
        self.source = "192.0.2.200"
        asked = self.application.asgi_handler

        async def from_source(scope: Any, receive: Any, send: Any) -> None:
            """Have requests come from an address that a test chooses."""
            await asked(scope | {"client": (self.source, 1)}, receive, send)

        self.application.asgi_handler = from_source
        self.http: TestClient[Any] = TestClient(self.application)

    def _authorized(self, role: Role, owner: str | None) -> dict[str, str]:
        made = add_client(
            self.database,
            name=f"{role}-{owner or 'network'}",
            role=role,
            owner=owner,
            now=self.now,
        )
        assert isinstance(made, Credentials)
        token = issue_token(self.database, *made, "", self.now)
        assert isinstance(token, Token)
        return {"authorization": f"Bearer {token.access_token}"}

    def _context(self) -> Context:
        def order(commands: Any) -> Any:
            with self.transaction() as transaction:
                return place_all(
                    transaction, commands, keys=self.keys, new_id=self.new_id
                )

        def answer(queries: Any) -> Any:
            with self.transaction() as transaction:
                return qualify(
                    transaction,
                    queries,
                    new_id=self.new_id,
                    token_key=self.keys.token_key,
                )

        def now() -> float:
            return float(self.now)

        return Context(
            database=self.database,
            clocks=Clocks(now=now, monotonic=now),
            provisioning=self.provisioning,
            orders=Desk(order, 32),
            qualifications=Desk(answer, 32),
            new_id=self.new_id,
            keys=self.keys,
        )

    def ask(
        self,
        method: str,
        path: str,
        role: Role = Role.ISP_SYSTEM,
        owner: str | None = "aurora",
        **more: Any,
    ) -> Any:
        """Ask as a client of a role."""
        headers = self.headers[role, owner] | more.pop("headers", {})
        return self.http.request(method, path, headers=headers, **more)
