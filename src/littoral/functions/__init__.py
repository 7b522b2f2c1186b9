"""Functions: apps in isolated worker processes, forked from a warm zygote.

    gateway process --- client ---------- run/fn/<place>/<slot> ------- worker (forked) --- the app's code
    hub --- runtime, pools --- link ----- run/zygote.sock --------------- zygote
    hub --- bindings -------------------- run/srv/bindings ------------ worker's binding client

Import from the modules; this package re-exports nothing, so that a worker does not pay for the hub's half.
"""
