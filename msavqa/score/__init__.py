"""Any video by a bundle: score, explanation, table, submission."""
