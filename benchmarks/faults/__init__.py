"""Kills and freezes while calls go on: nothing may be lost or wrong."""
