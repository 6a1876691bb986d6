"""CPU of the rater alone, a usage record: retail and wholesale, into charges.

    python -m bench.rating_path [--services N] [--rounds N] [--profile]

Rounds of one 10-minute record a service, for tariffs from plain to involved, each with
the demo's kind of wholesale tariff beside it. The rate is what a rerating reaches.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from config.network import Network
from daemon.role import GC_THRESHOLDS
from rating.charge import RatableUsage
from rating.counters import Derived
from rating.rater import Rated, Rater

_START = 1_790_000_000
_DATA = {"measure": "sum", "price": "0.10", "per": "1 GB"}
_HEAD = {"currency": "EUR", "zone": "Europe/Berlin"}
_NIGHT = {"name": "night", "start": "22:00", "end": "06:00"}
_DAY_AND_NIGHT = [
    {"name": "day", **_DATA},
    {"name": "night", "window": "night", **_DATA},
]

RETAIL: Mapping[str, Mapping[str, Any]] = {
    "by volume": {"rate": [{"name": "data", **_DATA}]},
    "allowance": {
        "rate": [{"name": "data", **_DATA}],
        "allowance": [{"name": "free", "quantity": "500 GB", "rates": ["data"]}],
    },
    "allowance, beyond it": {
        "rate": [{"name": "data", **_DATA}],
        "allowance": [{"name": "free", "quantity": "1 GB", "rates": ["data"]}],
    },
    "increments and tiers": {
        "rate": [
            {
                "name": "data",
                "increment": "1 MB",
                "tiers": [{"above": "100 GB", "price": "0.05"}],
                **_DATA,
            }
        ],
    },
    "day and night, shared allowance, quota, cap": {
        "window": [_NIGHT],
        "rate": _DAY_AND_NIGHT,
        "allowance": [
            {"name": "free", "quantity": "500 GB", "rates": ["day", "night"]}
        ],
        "quota": [{"name": "fair use", "allowance": "free"}],
        "cap": [{"name": "most", "amount": "20", "rates": ["day", "night"]}],
    },
    "the same, beyond the allowance": {
        "window": [_NIGHT],
        "rate": _DAY_AND_NIGHT,
        "allowance": [{"name": "free", "quantity": "1 MB", "rates": ["day", "night"]}],
        "cap": [{"name": "most", "amount": "20000", "rates": ["day", "night"]}],
    },
    "by session": {
        "rate": [
            {
                "name": "online",
                "measure": "seconds",
                "price": "0.60",
                "per": "1 h",
                "increment": "10 min",
                "counted": "session",
                "connect_fee": "0.05",
            }
        ],
    },
}


def _network(services: int, retail: Mapping[str, Any]) -> Network:
    transport = {
        "name": "transport",
        "measure": "sum",
        "price": "0.01",
        "per": "1 GB",
        "tiers": [{"above": "100 TB", "price": "0.008"}],
    }
    return msgspec.convert(
        {
            "isp": [{"name": "aurora", "wholesale": "open-access"}],
            "tariff": [
                {
                    "name": "open-access",
                    "version": [{"valid_from": "2026-01-01", "rate": [transport]}],
                    **_HEAD,
                },
                {
                    "name": "home",
                    "isp": "aurora",
                    "version": [{"valid_from": "2026-01-01", **retail}],
                    **_HEAD,
                },
            ],
            "offering": [
                {
                    "name": "home-500",
                    "isp": "aurora",
                    "down_kbps": 500_000,
                    "up_kbps": 100_000,
                    "tariff": "home",
                }
            ],
            "service": [
                {
                    "name": f"aurora-{number}",
                    "isp": "aurora",
                    "line": "",
                    "offering": "home-500",
                }
                for number in range(services)
            ],
        },
        Network,
    )


def _round(services: int, turn: int) -> list[RatableUsage]:
    start = _START + 600 * turn
    return [
        RatableUsage(
            f"aurora-{number}",
            turn * services + number,
            number,
            _START,
            start,
            start + 600,
            600,
            12_345_678 + number,
            123_456_789 + turn,
            Derived.REPORTED,
        )
        for number in range(services)
    ]


def main() -> None:
    """Measure and print, a line a tariff."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--services", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    gc.set_threshold(*GC_THRESHOLDS)
    for name, retail in RETAIL.items():
        rater = Rater(next_balance_id=1)
        rater.know(_network(options.services, retail))
        wall = cpu = 0.0
        profile = cProfile.Profile() if options.profile else None
        for turn in range(options.rounds + 1):
            usages = _round(options.services, turn)
            started, cpu_started = time.perf_counter(), time.process_time()
            if profile and turn:
                profile.enable()
            rater.adopt(rater.missing(usages))
            for usage in usages:
                if type(rater.rate(usage)) is not Rated:
                    raise SystemExit(f"{usage} was not rated")
            rater.next_batch()
            if profile:
                profile.disable()
            if turn:  # the first round opens the balances
                wall += time.perf_counter() - started
                cpu += time.process_time() - cpu_started
        records = options.services * options.rounds
        print(
            f"{name:45} {wall / records * 1e6:6.2f} us wall,"
            f" {cpu / records * 1e6:6.2f} us cpu a record, {records / wall:9,.0f}/s"
        )
        if profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
