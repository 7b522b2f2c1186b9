"""The HTTP cache: what is kept of origins' answers, and how requests are answered from it.

Import from the modules; this package re-exports nothing.
"""
