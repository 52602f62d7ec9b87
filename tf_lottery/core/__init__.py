"""The method as plain NumPy functions: masks, criteria, pruning, schedules, steps, shuffling, seeds, stability."""
