"""What `tools/export.py` is made of: the trial of what it wrote."""
