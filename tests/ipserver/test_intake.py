"""Which of the datagrams that wait are served, and in which order."""

from __future__ import annotations

from access_network import network
from dhcp_site import LIMITS, RELAY, relayed, sockaddr

from ipserver.intake import Arrival, Intake
from ipserver.outcomes import Drop, Statistics
from ipserver.relays import RelayTable

DISCOVER = 1


def test_while_more_comes_than_is_served_the_newest_go_first() -> None:
    """A queue that stands would make every answer as late as it is long."""
    dropped: list[str] = []
    intake = Intake(
        LIMITS,
        Statistics(),
        drop=lambda reason, _: dropped.append(reason),
        malformed=lambda *_: None,
    )
    intake.change_network(RelayTable(network()))

    def arrive(first: int, count: int, moment: float) -> None:
        asked = [relayed(DISCOVER, xid=x) for x in range(first, first + count)]
        intake.sort([(a, sockaddr(RELAY, 67), b"") for a in asked], 0, moment)

    def xids(taken: list[Arrival]) -> list[int]:
        return [int.from_bytes(arrival.query.octets[4:8]) for arrival in taken]

    arrive(0, 800, 10.0)
    assert list(range(256)) == xids(intake.take(10.45))
    arrive(800, 256, 10.55)
    assert list(range(1055, 799, -1)) == xids(intake.take(10.6))
    assert list(range(799, 543, -1)) == xids(intake.take(12.9))
    assert [] == intake.take(13.1)
    assert [Drop.STALE] * 288 == dropped
