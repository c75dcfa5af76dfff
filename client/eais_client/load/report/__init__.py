"""What is said of a load test: on the terminal, for programs, and as a page."""
