"""Names of lengths in file headers."""

# Micrometres per unit. ImageJ writes the micro sign as an escape of six characters.
MICROMETRES = {
    "\\u00B5m": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "m": 1e6,
}
