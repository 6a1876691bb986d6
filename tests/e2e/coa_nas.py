"""A NAS that takes CoA and Disconnect requests, and answers them as it is told."""

from __future__ import annotations

import socket
import threading
from typing import Any

from access_site import SECRET
from free_ports import free_port
from pyrad.dictionary import Dictionary
from pyrad.packet import CoAPacket

from config.radius_dictionary import ROOT


class CoaNas:
    """Answers what it is told to for a session; pyrad checks each request.

    ``script`` maps an Acct-Session-Id to answers in turn: a code, a code with its
    Error-Cause, or None for silence; the last one stays.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.script: dict[str, list[Any]] = {}
        self.heard: list[tuple[bytes, CoAPacket]] = []
        self._dictionary = Dictionary(str(ROOT))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            octets, source = self._socket.recvfrom(4096)
            if octets == b"end":
                return
            request = CoAPacket(packet=octets, secret=SECRET, dict=self._dictionary)
            assert request.VerifyCoARequest()
            assert request.verify_message_authenticator()
            self.heard.append((octets, request))
            answers = self.script[request["Acct-Session-Id"][0]]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if answer is None:
                continue
            code, cause = answer if isinstance(answer, tuple) else (answer, None)
            reply = request.CreateReply()
            reply.code = int(code)
            if cause is not None:
                reply["Error-Cause"] = cause
            self._socket.sendto(reply.ReplyPacket(), source)

    def of(self, session: str) -> list[tuple[bytes, CoAPacket]]:
        """Give what was heard about a session."""
        return [(o, r) for o, r in self.heard if r["Acct-Session-Id"] == [session]]

    def close(self) -> None:
        """End it."""
        self._socket.sendto(b"end", ("127.0.0.1", self.port))
        self._thread.join(10)
        self._socket.close()
