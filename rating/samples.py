"""Traffic of an ISP in samples of five minutes, which a percentile is taken of.

Each usage record is laid over the samples that it runs through, pro rata, so a sample
is a sum and the order in which use is reported makes no difference to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from rating.charge import RatableUsage

SAMPLE_SECONDS = 300
"""What every carrier samples interface counters by for its 95th percentile."""

Samples = dict[tuple[str, int], list[int]]
"""Octets in and out by ISP and the sample's start in seconds since 1970."""


def add_to_samples(samples: Samples, isp: str, usage: RatableUsage) -> None:
    """Add a record's octets to the samples that it runs through."""
    start = usage.started_at
    end = max(usage.ended_at, start + 1)  # use that took no time has its second
    octets_in, octets_out = usage.input_octets, usage.output_octets
    at = start - start % SAMPLE_SECONDS
    length = end - start
    in_before = out_before = 0
    while at < end:
        passed = min(at + SAMPLE_SECONDS, end) - start
        in_upto = octets_in * passed // length
        out_upto = octets_out * passed // length
        sample = samples.get((isp, at))
        if sample is None:
            samples[isp, at] = [in_upto - in_before, out_upto - out_before]
        else:
            sample[0] += in_upto - in_before
            sample[1] += out_upto - out_before
        in_before, out_before = in_upto, out_upto
        at += SAMPLE_SECONDS


def rank_of(count: int, percent: int) -> int:
    """Give the nearest rank of a percentile: of ``count`` samples in ascending order
    the first is 1."""
    return -(-percent * count // 100)


def percentile(values: Iterable[int], count: int, percent: int) -> int:
    """Give the nearest-rank percentile of ``count`` samples; absent ones are 0."""
    present = sorted(values)
    place = rank_of(count, percent) - (count - len(present)) - 1
    return present[place] if place >= 0 else 0
