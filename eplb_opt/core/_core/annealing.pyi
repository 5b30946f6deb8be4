"""Annealing under several loads, designs and losses."""
