"""The virtual NIC: what it costs, and how calls fare when the network doesn't."""
