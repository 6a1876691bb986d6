"""What people and programs ask of the over-allocation, and who may.

A command names its tenant, which is who authenticated and never what was typed; each
action says whose word counts. What it led to is a code that stays the same.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct, structs

from ipserver.decision import NETWORK
from ipserver.draft import Draft
from ipserver.lending import Lending
from ipserver.loan import Loan
from ipserver.over_allocation_change import Applied
from ipserver.over_allocation_request import (
    WITH_PEOPLE,
    Answer,
    Approval,
    Request,
)
from ipserver.requests import Requests


class Action(StrEnum):
    """What can be asked."""

    RAISE = "raise"
    CANCEL = "cancel"
    APPROVE = "approve"
    PARTIAL = "partial"
    DENY = "deny"
    RECALL = "recall"
    RETURN = "return"
    EXTEND = "extend"
    CONVERT = "convert"


class Result(StrEnum):
    """What came of it, as a stable code."""

    DONE = "done"
    UNKNOWN = "unknown"
    OVER = "over"
    """The request or loan has ended, or is past the point."""
    FORBIDDEN = "forbidden"
    NOT_ASKED = "not_asked"
    """The party's word is not needed, or was given already."""
    BACKING_OFF = "backing_off"
    """The pool got nothing a moment ago, or its ISP has too many open requests."""


class Command(Struct, frozen=True):
    """One thing asked. ``number`` is its place in the inbox.

    ``pool`` and ``size`` (addresses; 0 for what is needed) are for raise, ``blocks``
    for partial, ``target`` the number of a request or loan for all others.
    """

    number: int
    tenant: str
    actor: str
    action: Action
    target: int = 0
    pool: str = ""
    size: int = 0
    blocks: int = 0
    reason: str = ""


class _Outcome(NamedTuple):
    result: Result
    message: str
    number: int = 0


class Commands:
    """Carries commands out, each within a step that notes its number."""

    def __init__(self, requests: Requests, lending: Lending) -> None:
        self._requests = requests
        self._lending = lending

    def carry_out(self, draft: Draft, command: Command) -> Applied | None:
        """Do it, and say what came of it; None when it was done before."""
        if command.number <= draft.state.command:
            return None
        outcome = _ACTIONS[command.action](self, draft, command)
        applied = Applied(
            command.number, outcome.result, outcome.message, outcome.number
        )
        draft.applied(applied)
        return applied

    def _raise(self, draft: Draft, command: Command) -> _Outcome:
        terms = draft.state.terms
        pool = terms.holders.get(command.pool) if terms else None
        if pool is None or pool.kind != "pool":
            return _Outcome(Result.UNKNOWN, f"there is no pool {command.pool!r}")
        if command.tenant not in (NETWORK, pool.tenant):
            message = f"pool {pool.name!r} is of {pool.tenant}, not of {command.tenant}"
            return _Outcome(Result.FORBIDDEN, message)
        request = self._requests.raise_for(
            draft,
            pool,
            urgent=False,
            by=command.actor,
            size=command.size,
            why=command.reason,
        )
        if request is None:
            until = draft.state.memory(pool.name).denied_until
            seconds = until - draft.now
            message = (
                f"pool {pool.name!r} asked a moment ago and got nothing: ask again in"
            )
            if seconds > 0:
                return _Outcome(Result.BACKING_OFF, f"{message} {seconds} s")
            message = f"{pool.tenant} has as many open requests as it may"
            how = "wait for an answer, or withdraw one"
            return _Outcome(Result.BACKING_OFF, f"{message}: {how}")
        return _Outcome(Result.DONE, f"request {request.number}", request.number)

    def _request(self, draft: Draft, command: Command) -> Request | _Outcome:
        request = draft.state.requests.get(command.target)
        if request is not None:
            return request
        if 0 < command.target <= draft.state.last_request:
            message = f"request {command.target} has ended, and waits for no word"
            return _Outcome(Result.OVER, message, command.target)
        return _Outcome(Result.UNKNOWN, f"there is no request {command.target}")

    def _cancel(self, draft: Draft, command: Command) -> _Outcome:
        request = self._request(draft, command)
        if isinstance(request, _Outcome):
            return request
        if command.tenant not in (NETWORK, request.tenant):
            return _unknown_to(command, "request")
        if not self._requests.withdraw(draft, request, command.reason or "withdrawn"):
            message = f"request {request.number} is {request.state}"
            message = f"{message}, and cannot be withdrawn any more"
            return _Outcome(Result.OVER, message, request.number)
        return _Outcome(Result.DONE, "cancelled", request.number)

    def _say(self, draft: Draft, command: Command) -> _Outcome:
        request = self._request(draft, command)
        if isinstance(request, _Outcome):
            return request
        if request.state not in WITH_PEOPLE:
            message = f"nobody is asked about request {request.number} now"
            return _Outcome(Result.OVER, message, request.number)
        asked = {party for option in request.options for party in option.parties}
        # Who said no is in none of the options that are left, but knows of it.
        asked |= {w.party for w in draft.state.approvals.get(request.number, ())}
        if command.tenant not in {*asked, request.tenant, NETWORK}:
            return _unknown_to(command, "request")
        approval = Approval(
            request=request.number,
            party=command.tenant,
            actor=command.actor,
            answer=_ANSWERS[command.action],
            blocks=command.blocks,
            at=draft.now,
            policy=request.policy,
            inputs=request.inputs,
            reason=command.reason,
        )
        after = self._requests.say(draft, request, approval)
        if after is None:
            message = _not_asked(draft, request, command.tenant)
            return _Outcome(Result.NOT_ASKED, message, request.number)
        return _Outcome(Result.DONE, f"{after.state}", request.number)

    def _loan(
        self, draft: Draft, command: Command, parties: Callable[[Loan], set[str]]
    ) -> Loan | _Outcome:
        loan = draft.state.loans.get(command.target)
        if loan is None:
            if 0 < command.target <= draft.state.last_loan:
                message = f"loan {command.target} is over, and stays so"
                return _Outcome(Result.OVER, message, command.target)
            return _Outcome(Result.UNKNOWN, f"there is no loan {command.target}")
        held = self._as_held(draft, loan)
        if command.tenant not in {held.lender_tenant, held.borrower_tenant, NETWORK}:
            return _unknown_to(command, "loan")
        if command.tenant not in parties(held):
            who = " and ".join(sorted(parties(held)))
            what = f"{command.action} loan {loan.number}"
            message = f"{command.tenant} cannot {what}: {who} can"
            return _Outcome(Result.FORBIDDEN, message, loan.number)
        return loan

    @staticmethod
    def _as_held(draft: Draft, loan: Loan) -> Loan:
        """Give a loan with the tenants that have its pools now: one may have been sold
        since it was made.
        """
        holders = draft.state.terms.holders if draft.state.terms else {}
        block = draft.state.blocks[loan.first]
        owner, holder = holders.get(block.owner), holders.get(block.holder)
        return structs.replace(
            loan,
            lender_tenant=owner.tenant if owner else loan.lender_tenant,
            borrower_tenant=holder.tenant if holder else loan.borrower_tenant,
        )

    def _recall(self, draft: Draft, command: Command) -> _Outcome:
        loan = self._loan(draft, command, lambda each: {each.lender_tenant, NETWORK})
        if isinstance(loan, _Outcome):
            return loan
        done = self._lending.recall(draft, [loan.number], "recall")
        return self._moved(command, loan, done[0] if done else None)

    def _return(self, draft: Draft, command: Command) -> _Outcome:
        loan = self._loan(draft, command, lambda each: {each.borrower_tenant, NETWORK})
        if isinstance(loan, _Outcome):
            return loan
        return self._moved(
            command, loan, self._lending.give_back(draft, loan, "return")
        )

    def _extend(self, draft: Draft, command: Command) -> _Outcome:
        loan = self._loan(draft, command, lambda each: {each.lender_tenant})
        if isinstance(loan, _Outcome):
            return loan
        return self._moved(command, loan, self._lending.extend(draft, loan))

    def _convert(self, draft: Draft, command: Command) -> _Outcome:
        loan = self._loan(draft, command, lambda _: {NETWORK})
        if isinstance(loan, _Outcome):
            return loan
        return self._moved(command, loan, self._lending.convert(draft, loan))

    @staticmethod
    def _moved(command: Command, loan: Loan, after: Loan | None) -> _Outcome:
        if after is None:
            where = f"loan {loan.number} is {loan.state}"
            message = f"{where}, from where {command.action} does nothing"
            return _Outcome(Result.OVER, message, loan.number)
        return _Outcome(Result.DONE, f"{after.state}", loan.number)


def _unknown_to(command: Command, kind: str) -> _Outcome:
    # Who has no part in it is not told that it exists.
    return _Outcome(Result.UNKNOWN, f"there is no {kind} {command.target}")


def _not_asked(draft: Draft, request: Request, tenant: str) -> str:
    given = draft.state.approvals.get(request.number, ())
    for word in given:
        if word.party == tenant:
            said = f"{tenant} has said {word.answer} to request {request.number}"
            return f"{said} already: its first word counts"
    spoken = {word.party for word in given}
    asked = {party for option in request.options for party in option.parties}
    who = " and ".join(sorted(asked - spoken))
    return f"{tenant} is not asked in request {request.number}: it waits for {who}"


_ANSWERS: Final = {
    Action.APPROVE: Answer.APPROVE,
    Action.PARTIAL: Answer.PARTIAL,
    Action.DENY: Answer.DENY,
}

_ACTIONS: Final[dict[Action, Callable[[Commands, Draft, Command], _Outcome]]] = {
    Action.RAISE: Commands._raise,
    Action.CANCEL: Commands._cancel,
    Action.APPROVE: Commands._say,
    Action.PARTIAL: Commands._say,
    Action.DENY: Commands._say,
    Action.RECALL: Commands._recall,
    Action.RETURN: Commands._return,
    Action.EXTEND: Commands._extend,
    Action.CONVERT: Commands._convert,
}
