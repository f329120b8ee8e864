"""A csv and a folder of videos -> a data set's block of params.yaml: what was guessed, what was left open."""
