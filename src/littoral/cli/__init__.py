"""The command `littoral`: a client of nodes' operator APIs, and the entry points into a node and a local tree."""
