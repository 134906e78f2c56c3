"""Names of lengths in file headers; sizes of files and durations in words."""

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


def size_in_words(n_bytes: float) -> str:
    """Return a size in megabytes below one gigabyte, else in gigabytes."""
    if n_bytes < 1e9:
        return f"{n_bytes / 1e6:.0f} MB" if n_bytes >= 1e7 else f"{n_bytes / 1e6:.1f} MB"
    return f"{n_bytes / 1e9:.1f} GB"


def duration_in_words(seconds: float) -> str:
    """Return a duration in seconds below one minute, in minutes below two hours, else in hours."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
