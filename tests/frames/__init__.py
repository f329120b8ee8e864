"""Tests of msavqa/frames/."""
