"""Loads over time in files: read, summed, put in order and written a few steps at a time."""
