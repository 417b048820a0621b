"""Questions answered from the records. Nothing here can reach what changes things."""
