"""The command `msavqa`, one file per command, and the page it serves."""
