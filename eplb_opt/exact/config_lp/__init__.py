"""The configuration linear program: bounds from the sets of replicas that fit on a GPU together.

For a target load the program asks for the fewest GPUs, fractions allowed, that hold all replicas;
when that is more GPUs than there are, no plan stays below the target. It is the linear program of
bin packing, solved by column generation in the core, and branch and price on replica counts raises
the bound further. `model` bisects over target loads and makes the certificate, `target` asks about
one target load, `tree` has the nodes of branch and bound and the branching rule, and `solver` is
the solver of the schedule.

The core has a simplex method of its own, because every round of pricing and every target goes on
from the last basis, which `scipy.optimize.linprog` cannot, and because SciPy is optional. Nothing
depends on its being right: the verifier proves every bound again in integers.
"""
