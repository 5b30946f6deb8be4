"""Plans in milliseconds, for serving processes: the greedy, then refinement on one core."""
