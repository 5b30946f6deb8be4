"""The configuration linear program: bounds from the sets of replicas that fit on a GPU together.

For a target load the program asks for the fewest GPUs, fractions allowed, that hold all replicas;
when that is more GPUs than there are, no plan stays below the target. It is the linear program of
bin packing, solved by column generation in the core, and branch and price on replica counts raises
the bound further. `model` bisects over target loads and makes the certificate, `target` asks about
one target load, `tree` has the nodes of branch and bound and the branching rule, and `solver` is
the solver of the schedule.
"""
