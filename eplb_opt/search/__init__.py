"""Where plans come from: warm starts and local search."""
