"""Devices that a back-end offers: one file each, behind the four verbs of `driver`."""
