"""tomoprofile: depth profiles of domains in X-ray CT scans.

Modules at the top level are the ground that everything stands on: errors, files, logs, configuration, sample sheet,
layout of the results, units. Every folder is a room, and rooms stand in the order of the data: ``volume``, ``phantom``,
``substrate``, ``shift``, ``labels``, ``amplify``, ``network``, ``segment``, ``domains``, ``profile``, ``baselines``,
``report``, ``run``. A room imports only the ground and the rooms before it; ``cli``, the roof, imports any.

Only ``run`` knows Snakemake's files. Importing ``tomoprofile`` itself loads nothing heavy, because every cluster job
parses the workflow again.
"""

__version__ = "0.1.0"
