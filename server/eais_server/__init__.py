"""The back-end: listener, workers, devices, model store and virtual NICs."""
