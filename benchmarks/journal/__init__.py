"""What logging every answer costs: a record, the draining, the memory."""
