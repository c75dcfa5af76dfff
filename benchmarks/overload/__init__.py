"""Ten times more calls than a worker can carry: what is answered, how soon, and who pays."""
