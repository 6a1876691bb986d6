"""Why an ask was answered as it was: stable codes, in counters, traces and answers."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Each is said in an ``ipserver.answer``; none is ever renamed."""

    # An address is offered or acknowledged.
    RENEWED = "renewed"
    """The binding there was."""
    CACHED = "cached"
    """The binding there was, with the time it had left."""
    DRAINING = "draining"
    """The binding there was, which ends with the time it has left."""
    RETURNED = "returned"
    """The address that this line had last."""
    GRANTED_OWN = "granted_own"
    """A new one of the service's pools."""
    REPLACED = "replaced"
    """Another device's on the same line, which is taken to be gone."""
    GRANTED_GRACE = "granted_grace"
    """One more than the service has, free for a while."""
    GRANTED_SOLD = "granted_sold"
    """One more than the service has, sold for the month."""
    WALLED_GARDEN = "walled_garden"
    """One of the walled garden, for want of a service or of an address in it."""
    IPV6_ONLY = "ipv6_only"
    """None is needed (RFC 8925)."""

    # Something ended that no reply tells of.
    RELEASED = "released"
    DECLINED = "declined"
    DECLINE_LIMIT = "decline_limit"
    """The line has declined too many: the address is not taken to be bad."""

    # Nothing is given.
    NO_LINE = "no_line"
    """Nothing in the packet tells who asks, or its area is unknown."""
    NO_SERVICE = "no_service"
    """The line has no service, and its area no walled garden."""
    SUBSCRIBER_LIMIT = "subscriber_limit"
    """The line has all the addresses it can have."""
    GRACE_USED = "grace_used"
    MONTHLY_CAP = "monthly_cap"
    TAKEOVER_LIMIT = "takeover_limit"
    """Devices fight for the line: the one that has the address keeps it."""
    POOL_EMPTY = "pool_empty"
    WRONG_NETWORK = "wrong_network"
    """The address is in no pool of this line."""
    TAKEN = "taken"
    """The address is another's, or not to be had now."""
    NO_RECORD = "no_record"
    """Nobody knows of this binding."""
    NOT_YOURS = "not_yours"
    """The binding is another client's: nothing changes."""
    ENDED = "ended"
    """The binding was ended before its time: a renewal of it is an old one."""
    SERVICE_CHANGED = "service_changed"
    """The line has the right to other addresses now."""
    CHOSEN_ELSEWHERE = "chosen_elsewhere"
    """The client took another server's offer."""

    # A binding ended.
    EXPIRED = "expired"
    MOVED = "moved"
    """Its client has another address now."""
