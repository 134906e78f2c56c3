"""A run of the workflow: what is checked and estimated before it, recorded during it, and told after it.

``check*`` and ``feasibility`` open every input before anything is computed; ``plan`` and ``estimates`` say what a scan
will need; ``guard`` refuses a second run beside a first; ``record``, ``status``, ``provenance`` and ``index`` tell what
became of it; ``against_truth`` sets the results of a simulated scan beside its truth.
"""
