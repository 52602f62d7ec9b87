"""Whole experiments: config, run directory, the method, its controls, several processes."""
