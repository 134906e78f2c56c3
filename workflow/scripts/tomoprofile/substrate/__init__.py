"""The substrate: where it ends, and what beyond it is resin; from grey values alone."""
