"""Benchmarks that are plans of runs: resumable, told in core-hours, with a page that shows what was run."""
