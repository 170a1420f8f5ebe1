"""Which models there are, and the life of each version from its files to READY and away."""
