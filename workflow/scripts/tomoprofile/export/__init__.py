"""Copies of results for other programs, and ways to look at them. Nothing here is read back by a stage."""
