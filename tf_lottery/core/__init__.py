"""The method as plain NumPy functions: masks, criteria, pruning, schedules, steps, data order, seeds, stability."""
