"""The number from which all searches seed their random numbers."""

#: It is added to a seed, because the state of the generator must not be 0.
SALT = 88172645463325252
