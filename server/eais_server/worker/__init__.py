"""The inference process: serves one instance's data stream on one device share."""
