"""A page on this machine: drop a video, type a prompt, see the score and where the content changes."""
