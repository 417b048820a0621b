"""Benchmarks: each prints one table beside its peers."""
