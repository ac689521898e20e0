"""A trained model as a function: where it is loaded from, what it takes, what it returns."""
