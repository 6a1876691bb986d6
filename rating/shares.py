"""A usage record over the spans it runs through, pro rata, and nothing lost.

Up to each boundary goes the floor of the record's figures times the time until then, so
the shares add up to the record to the octet, and a record that was cut at a boundary by
its NAS gives the same as one that is cut here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rating.charge import RatableUsage
from rating.rates import Totals
from rating.tariff import Span


def shared_out(usage: RatableUsage, spans: Sequence[Span]) -> list[Totals]:
    """Give each span's figures; spans are in order and cover the record."""
    start, length = usage.started_at, usage.ended_at - usage.started_at
    whole = figures(usage)
    before = [0] * len(whole)
    shares = []
    for span in spans[:-1]:
        passed = span.end - start
        upto = [figure * passed // length for figure in whole]
        shares.append([now - was for now, was in zip(upto, before, strict=True)])
        before = upto
    shares.append([all_ - was for all_, was in zip(whole, before, strict=True)])
    return shares


def taxed_apart(usage: RatableUsage, tax_changes: Sequence[int]) -> list[RatableUsage]:
    """Give a record as the parts between changes of tax, by their times alone: what
    each has of the figures is in the spans."""
    start, end = usage.started_at, usage.ended_at
    within = [at for at in tax_changes if start < at < end]
    return [
        usage._replace(started_at=since, ended_at=until)
        for since, until in pairwise([start, *within, end])
    ]


def figures(usage: RatableUsage) -> Totals:
    """Give what a record counts, in the order of a slot's totals."""
    return [usage.seconds, usage.input_octets, usage.output_octets, usage.units]
