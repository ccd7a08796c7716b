"""Fit sub-models on parts of a table, with scikit-learn."""
