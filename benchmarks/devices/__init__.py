"""Shares of devices, and which one is chosen."""
