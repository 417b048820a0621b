"""What is done with each kind of event, once it is kept and acknowledged."""
