"""`littoral up` and `littoral demo`: a whole tree on this machine, with the example's devices."""
