"""Reports: facts are gathered once from the records; every format is rendered from them."""
