"""From run directories to rows, figures, a page and a table. Nothing here needs TensorFlow."""
