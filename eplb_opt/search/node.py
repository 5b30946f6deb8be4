"""Fixed point: the units in which the search adds up loads."""

#: A layer's fixed-point loads add up to about this.
TOTAL = 2**44
#: Seed of a seed: the generator's state must not be zero.
SALT = 88172645463325252
