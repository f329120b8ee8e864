"""A video file -> the frames we agreed on, with their times."""
