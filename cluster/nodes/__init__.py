"""Which nodes are there and what running runs want of them: written by workers, read by all."""
