"""Alerts of other programs: how soon they are acknowledged, and whether any is lost."""
