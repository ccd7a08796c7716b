"""Faces in pictures: find them, tell whose they are, draw what was found."""
