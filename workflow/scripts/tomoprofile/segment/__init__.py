"""From grey values to the probability of being a domain."""
