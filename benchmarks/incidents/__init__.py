"""Does the diagnosis choose the right action? Faults of known cause on real and synthetic streams."""
