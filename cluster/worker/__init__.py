"""The worker of a node: its processes take messages, do chunks and join parts."""
