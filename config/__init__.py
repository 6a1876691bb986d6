"""The settings of the process, the network file and the RADIUS dictionary: schema,
loader, problems with file and line. No I/O beyond reading the files named; nothing
here knows a socket or a database."""
