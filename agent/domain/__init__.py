"""Pure rules: states, alerts, policy. No I/O, no vendor; time is an argument."""
