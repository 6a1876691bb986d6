"""RADIUS: codec, duplicates, NAS look-up, accounting reports, and the UDP edge. Only
server.py does I/O; nothing here knows SQL or money."""
