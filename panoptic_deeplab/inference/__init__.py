"""A trained model as a function: what it is loaded from, what it is given, what it gives."""
