"""The configuration linear program: bounds from the sets of replicas that fit on a GPU together.

Its columns are made when they are needed (column generation), and it branches on replica counts.
"""
