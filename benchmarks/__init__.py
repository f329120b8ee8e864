"""What is measured: one file a figure, each prints one JSON object on its last line."""
