"""A window in, measurements out: data quality, drift, performance with labels, estimation before labels."""
