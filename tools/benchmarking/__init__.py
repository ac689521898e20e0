"""What `tools/benchmark.py` measures: the framework, one file per subject, and the reports.

A subject is a module with a function `comparisons(folder, quick)`, which yields what to measure at
full or at small size and may write files to the folder.
"""
