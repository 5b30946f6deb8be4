"""Plans in milliseconds, for serving processes: the greedy, then compiled refinement.

Importing this room loads numpy alone; numba is loaded by the first call.
"""
