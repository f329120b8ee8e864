"""One file a dataset: its own label files become rows; none of them knows another, none opens a video."""
