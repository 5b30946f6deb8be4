"""Hierarchical layers: groups of experts stay on one node, and nodes are solved one at a time.

A node with a set of groups is a flat problem; the bound of the layer is the least, over all
partitions of the groups into sets, of the largest bound of a set (`bounds.partitions`). `model` has
the decomposition: it works on the set that keeps the layer's bound down, first with the
configuration LP, then with the other exact models. `group_set` holds the state of one set, `proof`
puts the certificates of the sets together, and `solver` is the solver of the schedule.
"""
