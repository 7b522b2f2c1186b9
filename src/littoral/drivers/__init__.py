"""The only I/O of a node: clock, random, files, sockets, HTTP server and client. Implements the protocols of `core`.

Import from the modules; this package re-exports nothing, so that a process which reads the clock
does not load an HTTP server.
"""
