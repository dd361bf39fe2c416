"""Draws a run's saved records: one self-contained HTML page, and the table a run ends with on the terminal."""
