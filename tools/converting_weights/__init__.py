"""Published weights made this project's; see tools/convert_weights.py."""
