"""How long callers wait while an instance is moved from one host to another, and what they lose."""
