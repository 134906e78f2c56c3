"""Thresholds beside the segmentation of a scan."""
