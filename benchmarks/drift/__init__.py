"""Drift verdicts: speed and memory beside Evidently and the NumPy bound, scale, and false alarms."""
