"""The console: server-rendered pages over the same records as the API."""
