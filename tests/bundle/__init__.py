"""Tests of msavqa/bundle/."""
