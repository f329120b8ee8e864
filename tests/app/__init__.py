"""Tests of msavqa/app/."""
