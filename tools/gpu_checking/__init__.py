"""What tools/gpu_check.py runs, and what has to come of it."""
