"""Tests mirror `msavqa/`: `tests/test_store.py` tests `msavqa/store.py`."""
