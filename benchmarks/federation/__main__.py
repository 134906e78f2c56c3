"""``python -m benchmarks.federation run`` makes what is missing and writes the page; ``--plan`` tells the cost."""

from __future__ import annotations

import sys

from ..cells.command import main
from .runner import BENCHMARK

if __name__ == "__main__":
    sys.exit(main(BENCHMARK))
