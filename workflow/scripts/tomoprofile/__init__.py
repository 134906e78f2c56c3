"""tomoprofile: depth profiles of domains in X-ray CT scans.

The packages follow the data: ``volume`` -> ``segment`` -> ``domains`` -> ``profile`` -> ``report``.
A package imports only those before it. Nothing here knows of Snakemake, and importing ``tomoprofile``
itself loads nothing heavy, because every cluster job parses the workflow again.
"""

__version__ = "0.1.0"
