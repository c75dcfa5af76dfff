"""Turns on a shared device: granted by the listener, taken by workers, counted from outside."""
