"""Functions: apps in isolated worker processes, forked from a warm zygote.

    gateway process --- client ---------- run/fn/<app>-<slot>.sock ------ worker (forked) --- the app's code
    hub --- runtime, pools --- link ----- run/zygote.sock --------------- zygote
    hub --- bindings -------------------- run/bindings.sock ------------- worker's binding client

Import from the modules; this package re-exports nothing, so that a worker does not pay for the hub's half.
"""
