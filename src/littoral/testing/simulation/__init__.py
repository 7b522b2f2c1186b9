"""A whole tree of real nodes under faults, in virtual time, from one seed.

    plan      what will be done to the tree: its shape, its settings, and a list of events (work and faults), as data
    simulate  does it, heals everything, waits until all queues are empty, and checks what was promised
    history   what happened, step by step: the same in every process for the same plan
    campaign  many seeds on all cores, with counts of every fault and every recovery path
    shrink    the shortest list of events that still fails
    timeline  a history for people, as text and as a page

`littoral sim` is the command to it; docs/howto/simulate-a-tree.md shows how to use it for one's own work and checks.
"""
