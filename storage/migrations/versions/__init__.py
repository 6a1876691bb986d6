"""One module a revision. A revision that has shipped is never edited."""
