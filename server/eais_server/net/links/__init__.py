"""The drivers of kernel links, and what they have alike."""
