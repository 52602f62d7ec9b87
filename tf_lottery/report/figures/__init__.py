"""Rows in, figures out: one room for each thing that is drawn against something."""
