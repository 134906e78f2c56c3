"""Labels as people make them, and the training set that they become."""
