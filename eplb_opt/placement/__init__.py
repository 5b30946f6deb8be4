"""What is answered: a placement, the laws it must obey, and what it is worth.

`plan.Plan` is one array, the expert in every slot; counts, maps and GPU loads follow from it.
`checker` says whether a plan is allowed and `scoring` what its largest GPU load is, in exact
rationals. Neither shares code with the solvers, whose plans they judge.
"""
