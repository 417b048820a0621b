"""What a language model may call: read something, or propose something. Never act."""
