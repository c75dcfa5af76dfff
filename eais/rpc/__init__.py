"""gRPC as EAIS uses it: bound from the descriptors, no generated stubs."""
