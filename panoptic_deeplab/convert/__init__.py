"""Annotations of one form made into another.

A source lists the annotated images and reads each into a `PanopticMap`; a target writes such maps
into a folder and sums them up in a JSON where its form has one. `run.convert` joins the two.
"""
