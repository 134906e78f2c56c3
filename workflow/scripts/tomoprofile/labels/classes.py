"""Class indices in masks, whatever the values in label files."""

BACKGROUND, DOMAIN, IGNORE = 0, 1, 255
