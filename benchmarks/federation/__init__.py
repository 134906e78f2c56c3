"""Sites that train together: what their model is worth beside others, and what a round costs."""
