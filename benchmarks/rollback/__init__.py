"""From an approval to the model server answering with the earlier version: how long."""
