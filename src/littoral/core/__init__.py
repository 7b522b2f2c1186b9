"""The vocabulary every other layer speaks: names, errors, limits, resources, and the seams to the outside.

Nothing here opens a socket or a file, reads a clock, or draws a random number. Import from the
modules (`littoral.core.errors`, ...); this package re-exports nothing, so that a process that
needs one noun does not pay for all of them.
"""
