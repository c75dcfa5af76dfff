"""A load that triples, halves and stops, and what a live instance has meanwhile."""
