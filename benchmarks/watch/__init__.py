"""One watch cycle of one model, beside Evidently's drift preset on the same rows."""
