"""Loops over the contracts: training, evaluation, prediction. They know no method by name."""
