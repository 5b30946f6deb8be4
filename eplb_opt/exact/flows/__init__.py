"""The flow model: which GPUs host each expert, where tokens are split freely over the replicas.

Under optimal dispatch the sets of hosts are the plan, and the tokens that go to each host are flows
in a bipartite network. `formulation` has the mathematics, the columns and why the bound is a proof;
`rules` the linear constraints, one function a rule of the problem; `scale` the units, rounded so
that the model only relaxes; `order` the order of GPUs that are alike; `values` turns a plan into
values of the columns and back. `formulations.FORMULATIONS` gives all of it to the backends.
"""
