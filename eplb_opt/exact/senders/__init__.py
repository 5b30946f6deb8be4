"""The exact model of one layer where every GPU sends an expert's tokens to one replica, for CP-SAT.

`columns` has the ways in which an expert's replicas can stand, and what each GPU then carries;
`model` chooses one for each expert, and `solver` makes the calls of the schedule. Small layers are
solved to the optimum; larger ones are the search's, with the bounds of `eplb_opt.bounds`. With two
slots a GPU `pairs` raises these, with a certificate.
"""
