"""Command lines: one file a verb, its arguments and one call."""
