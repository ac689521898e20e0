"""Prediction on many machines by Ray Data: actors predict, one process writes."""
