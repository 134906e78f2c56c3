"""``python -m tomoprofile.cli``."""

import sys

from . import main

sys.exit(main())
