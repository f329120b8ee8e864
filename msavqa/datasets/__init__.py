"""Label files -> rows -> the manifest -> splits: what is rated, and who learns from it."""
