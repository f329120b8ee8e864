"""Processes, launchers, devices, files: what all stand on and values may depend on."""
