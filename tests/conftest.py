"""For all tests."""

import tomoprofile.segment  # noqa: F401 - says how OpenMP waits, which PyTorch reads when it is loaded
