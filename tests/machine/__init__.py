"""Tests of msavqa/machine/."""
