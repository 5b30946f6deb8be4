"""Simulated annealing of one layer: several loads, GPUs that differ, splits that are free.

The loop runs in the core; here is what it starts from, how it cools and when it ends.
"""
