"""What all stand on and no value depends on: errors, settings, progress, a stage's words, code's digest."""
