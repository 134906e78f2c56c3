"""The substrate plane, and what changes with the distance from it."""
