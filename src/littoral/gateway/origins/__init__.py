"""Where answers come from that neither an app nor the cache gives: pools of HTTP servers.

Import from the modules; this package re-exports nothing.
"""
