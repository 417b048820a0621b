"""What Watchkeeper knows of models and data: no incidents, no people, no language models, no environment."""
