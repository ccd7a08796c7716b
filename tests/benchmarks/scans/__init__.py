"""Scans as people have them: PDFs that become PDFs with their text."""
