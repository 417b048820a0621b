"""Where people and programs come in. Each door cleans what comes in, and maps our errors once."""
