"""Rows: the prediction log, profiles of windows, and seeded scenario streams."""
