"""Tests of data/sample/."""
