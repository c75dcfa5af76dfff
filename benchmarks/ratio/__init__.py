"""What the ratio controller costs and how late it leaves calls, on recorded demand."""
