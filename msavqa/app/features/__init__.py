"""The command `msavqa features`: look into stores, verify, hand on, adopt."""
