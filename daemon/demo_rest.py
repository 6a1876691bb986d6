"""The demo's client of REST: OAuth 2.0 client credentials, JSON in and out."""

from __future__ import annotations

import base64
import contextlib
import http.client
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote

import msgspec

from daemon import clock, sockets
from daemon.demo_telling import StoryError, fairlane, run
from daemon.preparation import Plan

_SECONDS = 20.0


class RestClient:
    """An ISP's program; its credentials are made for it, and revoked at the end."""

    def __init__(self, plan: Plan, isp: str) -> None:
        self._plan = plan
        self._where = sockets.endpoint("http", plan.settings.http.listen)
        self._name = f"demo-{isp}-{int(clock.now() * 1000):x}"
        self.isp = isp
        self._token = ""

    def __enter__(self) -> Self:
        role = ("--role", "isp_system", "--isp", self.isp)
        (made,) = fairlane(self._plan, "access", "add", self._name, *role)
        pair = f"{quote(made['client_id'])}:{quote(made['client_secret'])}"
        status, answer = self._send(
            "POST",
            "/oauth/token",
            b"grant_type=client_credentials",
            {
                "Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
        if status != HTTPStatus.OK:
            raise StoryError(f"/oauth/token answers {status}: {answer}")
        self._token = answer["access_token"]
        return self

    def __exit__(self, *_: object) -> None:
        run(self._plan, "access", "revoke", self._name)

    def get(self, path: str) -> Any:
        """Give what is there; raises StoryError where the answer is no 200."""
        status, answer = self._send("GET", path, None, self._headers())
        if status != HTTPStatus.OK:
            raise StoryError(f"{path} answers {status}: {answer}")
        return answer

    def post(self, path: str, body: Any) -> Any:
        """Make something; raises StoryError where the answer is no 201."""
        octets = msgspec.json.encode(body)
        status, answer = self._send("POST", path, octets, self._headers())
        if status != HTTPStatus.CREATED:
            raise StoryError(f"{path} answers {status}: {answer}")
        return answer

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
        }

    def _send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(
            self._where.host, self._where.port, timeout=_SECONDS
        )
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            octets = answer.read()
        return answer.status, msgspec.json.decode(octets) if octets else None
