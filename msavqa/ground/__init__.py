"""What all stand on and no value depends on: errors, progress, the digest of code."""
