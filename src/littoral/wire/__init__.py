"""Bytes to events and back, without I/O. Every parser bounds its input before it looks at it."""
