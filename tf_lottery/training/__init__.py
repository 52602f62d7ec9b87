"""Training any range of steps, exactly: the loop, its optimizers and learning rates, what it minimises."""
