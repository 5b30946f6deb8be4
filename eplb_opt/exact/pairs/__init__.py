"""Two slots a GPU: the exact optimum of one layer, by bisection over load levels.

For given replica counts the best pairing is known, so only the counts are searched.
"""
