"""The process: command line, composition root, supervisor, roles, sockets and the
clock. The only room that may import every other; no protocol and no rating rule
lives here."""
