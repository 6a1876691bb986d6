"""The commands of the command line, one module each. A command reads its arguments,
asks the rooms that know, and prints: facts on stdout, complaints on stderr."""
