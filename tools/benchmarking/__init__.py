"""What `tools/benchmark.py` measures: the frame, one file a subject, and how results are shown.

A subject is a module with a function `contests(folder, quick)`: what is to be measured, at full or
at small size, with a folder for files of its own.
"""
