"""The processes that make the load: they send, take answers, and count."""
