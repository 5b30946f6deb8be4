"""What several exact solvers need: loads, scales, rows of constraints, and a solver's answer."""
