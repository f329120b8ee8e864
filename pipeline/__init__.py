"""One thin module a stage: read coordinates and settings, call the library, write outs."""
