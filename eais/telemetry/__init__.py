"""What EAIS tells of itself: latencies, metrics, logs, health, traces."""
