"""Few labelled cases become many: how cases differ is learned from their deformations, and new ones are drawn."""

import os

# As in ``network``: threads of GNU OpenMP that spin take the cores of others. It is read when PyTorch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
