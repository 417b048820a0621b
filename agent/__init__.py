"""Decides, remembers, asks, acts and talks."""
