"""From rows to versions: recipes, training, evaluation, and the MLflow registry's two doors (read, write)."""
