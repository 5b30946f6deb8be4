"""What all searches begin their random numbers with."""

#: Seed of a seed: the generator's state must not be zero.
SALT = 88172645463325252
