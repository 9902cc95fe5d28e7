"""One file = one kind of golden file, named by the operation that it checks."""
