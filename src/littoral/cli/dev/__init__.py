"""What `littoral dev` is made of."""
