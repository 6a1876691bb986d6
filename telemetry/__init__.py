"""Metrics and logs. Libraries return facts; this room turns them into series and
lines."""
