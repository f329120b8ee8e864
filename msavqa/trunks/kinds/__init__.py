"""One file per kind of frozen network; params.yaml chooses it by name (`kind:`)."""
