"""Tests of msavqa/trunks/."""
