"""One file per label format; params.yaml chooses it by name (`reader:`)."""
