"""Exact objects across slabs, and one row of measures for each."""
