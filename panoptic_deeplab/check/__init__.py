"""What `panoptic-deeplab check` is made of.

findings (what can be wrong) <- images (one image) <- splits (a data set, train beside val)
statistics (what is there) -> tables (text), chart and samples (pictures)
"""
