"""Physically simulated scans with known truth."""
