"""The edge of access: an Access-Request in, one answer out, now, later or never.

What is decided, ``radius.authentication`` decides; what leaves, goes through
``radius.access_answers``. This module joins them with what has to be asked elsewhere,
and none of it waits: a hash goes to a thread, a user of an ISP to its server, a full
service to the database, and each comes back as a call. Sessions are counted by
reservations that all workers share, in one transaction for the requests of one read.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Container, Sequence
from typing import Protocol

from config.schema import AccessSettings
from radius import class_token
from radius.access_answers import Answers
from radius.access_request import (
    AUTHORIZE_ONLY,
    AccessRequest,
    Refusal,
    eap_failure,
    read_access_request,
    refusal,
)
from radius.asked import Asked, Claim, HomeAnswer, Wholesale
from radius.authentication import (
    Found,
    HashNeeded,
    Wrong,
    check,
    eap_reject,
    find,
    text,
)
from radius.failures import Failures
from radius.outcomes import Drop, Statistics
from radius.packet import Code, attribute
from radius.profiles import Grant, grant_attributes
from radius.proxying import merged
from radius.signature_policy import unsigned
from radius.subscribers import Subscriber, Subscribers

_SETTLING = 256
"""Requests that wait while the sessions of their service are looked at."""
_PASSWORDS_REMEMBERED = 1_000_000
"""Passwords known again: a digest and a time each, some 150 MiB at the most."""

_FORWARDED = frozenset({None, Refusal.EAP, Refusal.STATE, Refusal.MSCHAP_1})
"""What an ISP's own server may make sense of, though we cannot."""


class Reservations(Protocol):
    """Counted use of services, shared by all workers."""

    def take(self, claims: Sequence[Claim], now: int) -> list[bool | None]:
        """Take a place for each claim; False when there is none, None when unknown."""


class AccessServer:
    """Answers Access-Requests; all its collaborators are functions or protocols.

    ``hash_check(password_hash, password, done)`` asks a thread, and says whether there
    was room; ``settle(service, done)`` looks which sessions of a service have ended and
    says whether a place came free; ``learn(nas)`` durably remembers that a NAS signs,
    and puts it into ``learned``; ``wholesale`` asks ISPs. ``class_key`` signs Class,
    ``memory_key`` is random and names passwords in memory.
    """

    def __init__(
        self,
        *,
        subscribers: Subscribers,
        statistics: Statistics,
        settings: AccessSettings,
        duplicate_seconds: int,
        monotonic: Callable[[], float],
        now: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
        random_octets: Callable[[int], bytes],
        class_key: bytes,
        memory_key: bytes,
        reservations: Reservations,
        hash_check: Callable[[str, bytes, Callable[[bool], None]], bool],
        settle: Callable[[str, Callable[[bool], None]], None],
        learned: Container[str],
        learn: Callable[[str], None],
        wholesale: Wholesale,
    ) -> None:
        self.answers = Answers(
            statistics=statistics,
            settings=settings,
            duplicate_seconds=duplicate_seconds,
            monotonic=monotonic,
            call_later=call_later,
        )
        self._subscribers = subscribers
        self._statistics = statistics
        self._settings = settings
        self._monotonic = monotonic
        self._now = now
        self._random_octets = random_octets
        self._class_key = class_key
        self._memory_key = memory_key
        self._reservations = reservations
        self._hash_check = hash_check
        self._settle = settle
        self._learned = learned
        self._learn = learn
        self._wholesale = wholesale
        self._failures = Failures(
            per_user=settings.failures_per_user, per_nas=settings.failures_per_nas
        )
        self._passwords: dict[bytes, float] = {}
        self._wanting: list[tuple[Asked, bytes, Claim]] = []
        self._settling = 0
        self._salt = 0

    # --- a request comes in ------------------------------------------------------

    def take(self, asked: Asked) -> None:
        """Decide about a request whose signature, if it has one, is good."""
        request = read_access_request(asked.packet)
        drop = self._unsigned(asked, request)
        if drop is not None:
            # Not a word of it may reach the answers that are kept.
            self.answers.drop_unseen(asked, drop)
        elif self.answers.is_new(asked):
            self._decide(asked, request)

    def _unsigned(self, asked: Asked, request: AccessRequest) -> Drop | None:
        """Say why an unsigned request is dropped; learn from a signed one."""
        client = asked.client
        policy = client.nas.message_authenticator
        if asked.is_signed:
            new = client.name not in self._learned
            if policy == "learn" and client.is_host and new:
                self._learn(client.name)
            return None
        self._statistics.unsigned[client.name] += 1
        return unsigned(
            policy,
            learned=client.name in self._learned,
            has_proxy_state=bool(asked.proxy_states),
            must=request.has_eap or request.service_type == AUTHORIZE_ONLY,
        )

    def turn(self) -> None:
        """Let go of what is old; call once for each read of a socket."""
        now = self._monotonic()
        self.answers.turn(now)
        self._failures.turn(now)

    def _decide(self, asked: Asked, request: AccessRequest) -> None:
        user = text(request.user_name)
        refused = refusal(request)
        found = find(request, user, asked.client.nas, self._subscribers)
        isp = self._isp_to_ask(user, found) if refused in _FORWARDED else None
        if isp is not None:
            self._ask_isp(asked, isp, found, request)
        elif refused is not None:
            failure = eap_reject(eap_failure(request.eap)) if request.has_eap else b""
            self.answers.reject(asked, refused, failure)
        elif found.subscriber is None:
            self._unknown(asked, request)
        elif found.refusal is not None:
            self.answers.reject(asked, found.refusal)
        elif found.by_line:
            self._authorise(asked, found.subscriber, request, b"")
        else:
            self._check(asked, request, found.subscriber)

    def _isp_to_ask(self, user: str, found: Found) -> str | None:
        """Name the ISP that knows this user and we do not."""
        subscriber = found.subscriber
        if found.by_line or (subscriber is not None and subscriber.has_credential):
            return None
        isp = self._subscribers.isp_of_realm(user)
        if isp is None or not isp.get("authentication_servers"):
            return None
        return str(isp["name"])

    def _unknown(self, asked: Asked, request: AccessRequest) -> None:
        # MS-CHAPv2 has to be answered with a proof of the password: no garden then.
        if request.mschap2_response is not None or not self._garden(asked):
            self._note_failure(asked, request)
            self.answers.reject(asked, Refusal.UNKNOWN_USER)

    def _note_failure(self, asked: Asked, request: AccessRequest) -> None:
        self._failures.note(
            asked.client.name, request.user_name, request.calling_station_id
        )

    def _check(
        self, asked: Asked, request: AccessRequest, subscriber: Subscriber
    ) -> None:
        if self._failures.too_many(
            asked.client.name, request.user_name, request.calling_station_id
        ):
            self.answers.reject(asked, Refusal.FAILURES)
            return
        self._salt = (self._salt + 2) & 0x7FFE
        result = check(request, asked.packet, asked.secret, subscriber, self._salt)
        if isinstance(result, HashNeeded):
            self._check_hash(asked, request, subscriber, result)
        elif isinstance(result, Wrong):
            self._note_failure(asked, request)
            self.answers.reject(asked, result.reason, result.attributes)
        else:
            self._authorise(asked, subscriber, request, result.attributes)

    def _check_hash(
        self,
        asked: Asked,
        request: AccessRequest,
        subscriber: Subscriber,
        needed: HashNeeded,
    ) -> None:
        """Compare with a hash: at once if it was right lately, else in a thread.

        The memory is keyed by the stored hash too: a changed password is forgotten.
        """
        both = needed.password_hash.encode() + b"\0" + needed.password
        key = hmac.digest(self._memory_key, both, "sha256")
        if self._passwords.get(key, 0.0) > self._monotonic():
            self._authorise(asked, subscriber, request, b"")
            return

        def done(right: bool) -> None:
            if right:
                if len(self._passwords) >= _PASSWORDS_REMEMBERED:
                    self._passwords.clear()
                seconds = self._settings.password_cache_seconds
                self._passwords[key] = self._monotonic() + seconds
                self._authorise(asked, subscriber, request, b"")
            else:
                self._note_failure(asked, request)
                self.answers.reject(asked, Refusal.WRONG_CREDENTIALS)
            self.flush()

        if not self._hash_check(needed.password_hash, needed.password, done):
            self.answers.drop(asked, Drop.QUEUE_FULL)

    # --- what it gets --------------------------------------------------------------

    def _authorise(
        self,
        asked: Asked,
        subscriber: Subscriber,
        request: AccessRequest,
        attributes: bytes,
    ) -> None:
        if subscriber.active:
            reply = subscriber.reply(asked.client.nas.profile)
            self._admit(asked, subscriber, request, attributes + reply)
        elif subscriber.blocked:
            self.answers.reject(asked, Refusal.QUOTA_EXHAUSTED)
        elif request.mschap2_response is not None or not self._garden(asked):
            self.answers.reject(asked, Refusal.SUSPENDED)

    def _admit(
        self,
        asked: Asked,
        subscriber: Subscriber,
        request: AccessRequest,
        attributes: bytes,
    ) -> None:
        """Accept, unless its sessions are limited: then a place is reserved first."""
        token = self._random_octets(class_token.TOKEN_OCTETS)
        class_ = class_token.issue(
            self._class_key, token, int(self._now()), subscriber.octets
        )
        attributes += attribute(25, class_)
        if subscriber.simultaneous_use is None:
            self.answers.finish(asked, Code.ACCESS_ACCEPT, attributes, "accepted")
            return
        port = text(request.circuit_id or request.nas_port_id)
        device = text(request.calling_station_id)
        claim = Claim(
            subscriber.name,
            subscriber.simultaneous_use,
            token,
            asked.client.name,
            f"{port}|{device}" if port or device else "",
            text(request.user_name),
        )
        self._wanting.append((asked, attributes, claim))

    def _garden(self, asked: Asked) -> bool:
        """Let into the walled garden, where there is one."""
        nas = asked.client.nas
        pool = self._subscribers.garden_of(nas.area) if nas.walled_garden else None
        if pool is None:
            return False
        grant = Grant(pool=pool, filter_id=nas.walled_garden_filter)
        attributes = grant_attributes(nas.profile, grant)
        self.answers.finish(asked, Code.ACCESS_ACCEPT, attributes, "walled_garden")
        return True

    # --- an ISP that knows its own users -------------------------------------------

    def _ask_isp(
        self, asked: Asked, isp: str, found: Found, request: AccessRequest
    ) -> None:
        def done(answer: HomeAnswer | Drop | None) -> None:
            if isinstance(answer, Drop):
                self.answers.drop(asked, answer)
            elif answer is None:
                self.answers.reject(asked, Refusal.HOME_SERVER)
            elif answer.code == Code.ACCESS_REJECT:
                reason = Refusal.WRONG_CREDENTIALS
                self.answers.reject(asked, reason, answer.attributes)
            elif answer.code == Code.ACCESS_ACCEPT and found.subscriber is not None:
                self._accept_for(asked, found, request, answer.attributes)
            else:
                code, attributes = answer
                self.answers.finish(asked, code, attributes, "proxied")
            self.flush()

        self._wholesale.ask(isp, asked, done)

    def _accept_for(
        self, asked: Asked, found: Found, request: AccessRequest, theirs: bytes
    ) -> None:
        """Add what the Network Provider grants to what the ISP granted."""
        subscriber = found.subscriber
        assert subscriber is not None
        if found.refusal is not None:
            self.answers.reject(asked, found.refusal)
        elif not subscriber.active:
            self.answers.reject(asked, Refusal.SUSPENDED)
        else:
            profile = asked.client.nas.profile
            both = merged(theirs, subscriber.grant, profile)
            self._admit(asked, subscriber, request, both)

    # --- sessions are counted --------------------------------------------------------

    def flush(self) -> None:
        """Count sessions for all that wait for it, then send every answer."""
        if self._wanting:
            self._reserve()
        self.answers.flush()

    def _reserve(self, *, again: bool = False) -> None:
        waiting, self._wanting = self._wanting, []
        claims = [claim for _, _, claim in waiting]
        taken = self._reservations.take(claims, int(self._now()))
        for (asked, attributes, claim), place in zip(waiting, taken, strict=True):
            if place:
                self.answers.finish(asked, Code.ACCESS_ACCEPT, attributes, "accepted")
            elif place is None:
                self.answers.drop(asked, Drop.JOURNAL)
            elif again or self._settling >= _SETTLING:
                self.answers.reject(asked, Refusal.SIMULTANEOUS_USE)
            else:
                self._look_again(asked, attributes, claim)

    def _look_again(self, asked: Asked, attributes: bytes, claim: Claim) -> None:
        """Before a limit refuses anyone, see whether a session ended meanwhile."""
        self._settling += 1

        def done(freed: bool) -> None:
            self._settling -= 1
            if freed:
                self._wanting.append((asked, attributes, claim))
                self._reserve(again=True)
            else:
                self.answers.reject(asked, Refusal.SIMULTANEOUS_USE)
            self.flush()

        self._settle(claim.service, done)
