"""How a scan looks, and whether a model has seen scans like it."""
