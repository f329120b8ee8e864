"""Tests mirror the rooms of `msavqa/`: tests/store is for msavqa/store. Shared tools lie flat here."""
