"""The network agent of a host: it makes the vNICs that the pool's manager has signed plans of."""
