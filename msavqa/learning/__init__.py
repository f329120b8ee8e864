"""What learns, from cached features alone: inputs, layers, losses, one training loop, folds."""
