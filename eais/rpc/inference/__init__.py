"""Generated from proto/eais/rpc/inference."""
