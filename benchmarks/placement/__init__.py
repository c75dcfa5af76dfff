"""How much of a cluster's devices is allocated, on a trace of a real one, by several policies."""
