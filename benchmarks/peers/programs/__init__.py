"""What runs in the peers' own environments; nothing here imports anything of ours."""
