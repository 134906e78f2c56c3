"""From grey values to the probability of each measured class."""

from .. import network as network  # says how PyTorch waits for its threads, before anything here loads it
