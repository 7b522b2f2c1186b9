"""The web page of the root: the tree, what flows through it, and its alerts, live.

A process of its own, and a client of the operator API like any other: it holds no store, and what it shows is what the
API said last. Nothing it serves comes from outside the installed packages.
"""
