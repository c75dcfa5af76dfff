"""Targets whose behaviour is known, to try a load test on."""
