"""The front-end: sessions, attach, upload, endpoint choice and the command line."""
