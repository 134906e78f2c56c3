"""A run of the workflow: what is checked and estimated before it, recorded during it, and reported after it.

``check*`` and ``feasibility`` open every input before anything is computed; ``plan`` and ``estimates`` say what a scan
will need; ``guard`` refuses a second run while a first is active; ``record``, ``status``, ``provenance`` and ``index``
report what became of it; ``against_truth`` compares the results of a simulated scan with its truth.
"""
