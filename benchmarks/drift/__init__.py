"""Drift verdicts: speed and memory beside Evidently and the NumPy bound, and false alarms."""
