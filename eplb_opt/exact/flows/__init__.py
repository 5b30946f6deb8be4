"""The flow model: which GPUs host an expert, where tokens may be split freely over the replicas."""
