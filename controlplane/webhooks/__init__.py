"""News over HTTP: events of the outbox, signed, to whoever registered for them."""
