"""A node's surroundings, simulated: for our tests and for the tests of those who build on Littoral.

Real node code runs against `core`'s protocols; this package implements them without an operating system, in virtual
time and from one seed, so that an hour of faults takes seconds and every failure repeats:

- `loop`: an asyncio event loop whose time jumps to the next timer. `run(main, seed)` is all that most tests need.
- `clock`: a wall clock on that loop, with offset, drift and steps.
- `random`: seeded chance, split into independent named streams.
- `disk`: files and SQLite databases in memory that know what was synced, and lose the rest when the power is cut.
- `store`: one node's store on such a disk. `supervision`: nodes that are started again, operators who ask again.
- `crash`: a workload with the power cut at each of its writes and syncs.
- `net`: nodes that call each other over links with delay, loss, duplication, reordering, bandwidth and cuts.
- `tree`: whole trees of real nodes on all of these.
- `simulation`: trees under work and faults from a seed, with everything that was promised checked; `littoral sim`.

    async def main() -> None:
        network = SimNetwork(SeededRandom(7))
        network.serve("https://root:8443", handler)
        answer = await network.transport("plant-a").request("https://root:8443", Request("GET", "/"), timeout_s=5)

    run(main, seed=7)

Nothing here starts a thread or opens a socket or file.
"""
