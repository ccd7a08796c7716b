"""What the processes of a node do with the messages that they take."""
