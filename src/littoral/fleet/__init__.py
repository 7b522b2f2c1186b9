"""Which nodes there are, what each is to run, and bringing a node to that state."""
