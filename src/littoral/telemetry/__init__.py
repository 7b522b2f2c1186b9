"""Metrics and logs: counted as plain integers where the work is done, turned into text when somebody asks."""
