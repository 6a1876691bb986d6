"""Programs that measure Fairlane beside its peers, run as `python -m bench.NAME`.

They print figures and ratios; nothing here is asserted, and no test depends on a time.
"""
