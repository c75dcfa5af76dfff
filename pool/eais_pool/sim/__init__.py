"""Recorded demand served by another policy: `eais whatif`, and the benchmarks. (Brain)

`queue_model` is the queue, `autoscalers` are others' policies, `policy_names` reads what one is
called, `fleet` is what serves, `planners` decide, `replay` has them decide over what was recorded.
"""
