"""Annotation formats: reading and writing images, ids and segments, and each data set's ids."""
