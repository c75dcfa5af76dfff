"""Calls of one model that run together: when that is safe, when it pays, and how it is done."""
