"""One transaction on the stores each, for whoever asks.

A service checks a command with the pure logic of the domains, writes what follows in
one transaction of ``storage``, and returns values. No protocol, no socket, no clock:
the caller says who asks and what time it is.
"""
