"""A network of our own to start from, trained on thousands of randomised simulated scans."""
