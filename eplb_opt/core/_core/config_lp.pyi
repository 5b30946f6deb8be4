"""Bounds by configurations of a GPU."""
