"""Frozen networks as they are built: architectures, weights, and frames as a network wants them."""
