"""Simulate what clusters of other sizes and links do, with the real numerics."""
