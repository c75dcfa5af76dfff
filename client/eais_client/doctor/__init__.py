"""`eais doctor`: what is wrong between this user and the pool, and what to do about it."""
