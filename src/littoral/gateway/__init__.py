"""The HTTP data plane: a request's way from the listener through the route table to an app, and back.

Import from the modules; this package re-exports nothing.
"""
