"""Every mistake in params.yaml and in the files it names, before anything starts."""
