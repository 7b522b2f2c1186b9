"""Serving and replicating streams."""
