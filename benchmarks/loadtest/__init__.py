"""Whether percentiles of a load test are right, and how much load a core makes."""
