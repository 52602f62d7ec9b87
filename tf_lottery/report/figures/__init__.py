"""The figures of a report, drawn with Matplotlib: style, curves, and the catalogue that picks and captions them."""
