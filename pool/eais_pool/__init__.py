"""The pool manager: events in, decisions out, and the journal that keeps them."""
