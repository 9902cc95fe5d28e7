"""Recursion over shared blocks with a recursion depth of its own for every patch."""
