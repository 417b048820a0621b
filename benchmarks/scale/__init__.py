"""Profiles of large logs: time, memory, cost per row, and what merging costs."""
