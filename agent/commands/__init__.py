"""The bodies of the commands: each returns plain data, and has a renderer for people."""
