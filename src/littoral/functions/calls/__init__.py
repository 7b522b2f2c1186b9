"""How functions are asked."""
