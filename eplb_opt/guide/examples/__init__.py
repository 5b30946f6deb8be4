"""Complete programs to start from; each prints what it does and draws the picture beside it."""
