"""Tests of msavqa/networks/."""
