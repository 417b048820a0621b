"""The watch, one step per file: monitor, triage, diagnose, propose, approve, execute, verify, report, notify."""
