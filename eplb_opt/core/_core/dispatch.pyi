"""The split of tokens over replicas."""
