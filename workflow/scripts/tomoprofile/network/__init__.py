"""The network: its encoders, training, calibration, and the bundle that holds it."""

import os

# GNU OpenMP waits for its threads by spinning. Where other work needs the same cores, that makes a training step four
# to eight times slower (measured: 2.1 s against 0.6 s beside one busy process, 0.26 s on free cores either way). It is
# read when PyTorch is loaded, so it is set before; a value set by the site takes precedence.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
