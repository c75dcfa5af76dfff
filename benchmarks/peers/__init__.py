"""Other inference servers beside ours: the same models, calls and machine."""
