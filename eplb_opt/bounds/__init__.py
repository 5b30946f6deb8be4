"""What no plan can beat: lower bounds on the largest GPU load that need no solver.

Each bound is a function whose docstring says why it holds.
"""
