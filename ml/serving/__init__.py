"""The model server: answers requests, splits canary traffic, logs every prediction."""
