"""Measures of a phase as a whole, for samples in which single objects make no sense: bone, foam, fibres."""
