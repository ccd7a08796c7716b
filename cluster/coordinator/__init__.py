"""The coordinator of a run: reads the input, publishes it, watches over it until it is done. It runs no chunk."""
