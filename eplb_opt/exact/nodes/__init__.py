"""Hierarchical layers: groups of experts stay on one node, and nodes are solved one by one."""
