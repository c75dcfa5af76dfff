"""vNICs between hosts: signed plans, and how a host's network agent is asked."""
