"""The HTTP edge: what it answers and in which form; no rule of business, no SQL."""
