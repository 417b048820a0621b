"""A chat model without a network and without weights: it reads a request, calls the tools, and tells what they gave."""
