"""The composition root: the only place that wires parts and drivers together, and the processes of a node."""
