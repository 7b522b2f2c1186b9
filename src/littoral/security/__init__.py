"""Who is who: the tree's CA, the identities of nodes, and the secrets that people and devices show.

`ca` signs certificates at the root. `identity` is what a node keeps of its own. `join` and `enrolment` decide who
becomes a child and who stays one; `tokens` names the node behind each request; `operator` and `passwords` do the same
for people and devices. Everything here decides; nothing here listens, stores or waits. Import from the modules.
"""
