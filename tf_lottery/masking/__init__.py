"""Masks in Keras models: which weights have one, where it is kept, what holds it, what is stored of it."""
