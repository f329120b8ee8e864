"""A trained model as one folder: what it holds, how it is made, what a reader must know of it."""
