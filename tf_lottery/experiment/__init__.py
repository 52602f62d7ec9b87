"""Whole experiments: configs, run directories, the pruning method and its controls, and worker processes."""
