"""A cluster as its users see it: submit a run, follow it, have its result."""
