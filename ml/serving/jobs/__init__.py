"""Long batches: taken at once, answered in the background, fetched when they are done.

store     a folder for each job: what was sent, how far it is, what came of it
formats   bodies that are read in parts
running   the process that answers them, part by part; killed anywhere, the next one goes on
routes    the HTTP of it
"""
