"""A leaf: a message in, a delivery out. Imports nothing of ours."""
