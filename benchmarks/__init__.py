"""What is measured: one file per figure, each prints one JSON object on its last line."""
