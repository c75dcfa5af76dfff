"""Generated from proto/eais/rpc/v1."""
