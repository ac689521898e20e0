"""Identities over the frames of a video: instances of one frame matched to those before."""

from panoptic_deeplab.tracking.tracker import Tracker, track_maps

__all__ = ["Tracker", "track_maps"]
