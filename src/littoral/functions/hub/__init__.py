"""The hub's side of functions: which there are, and what serves them."""
