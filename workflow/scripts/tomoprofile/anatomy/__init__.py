"""Simulated abdominal CT with known truth: organs, how bodies differ, scanners, and variants of a real scan."""
