"""Model bundles: how a run becomes one, and how one scores any video without data, DVC or git."""
