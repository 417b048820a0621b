"""Slack: the first door. One set of handlers behind Socket Mode and HTTP."""
