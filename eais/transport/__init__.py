"""The data plane: what a call is on the wire, and the transports that carry it."""
