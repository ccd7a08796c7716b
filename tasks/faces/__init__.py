"""Find the faces on pictures and tell whose they are."""
