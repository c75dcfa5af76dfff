"""The load-test harness: what a target carries, and how it answers while it does."""
