"""The proof that a model treats each index of axis 0 alone, by a walk of its graph. (Brain)

Each tensor of the graph is one of two kinds. `Rows` have the batch on one axis, and what stands
at an index of that axis follows from what the inputs have at that index, and from nothing else
that differs between calls. `Shared` is the same for all: a weight, or a size. Each operator has
a rule that says what it makes of such arguments; where there is no rule, or the rule says
nothing of a case, there is no proof. If all outputs are `Rows` on axis 0, a run of several
calls' inputs, one after the other on axis 0, gives their answers one after the other.

Not proven is that the bits are the same: a matrix product of one row may add in another order
than one of eight. That is measured: `eais_server.worker.batching.trial`.
"""
