"""The parts of the load generators: packets, datagrams by the batch, response times."""
