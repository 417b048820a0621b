"""How long it takes to verify the audit."""
