"""Apps that gateways run in their own processes."""
