"""Video: frames read with their times, the newest frame of a camera, overlays written as H.264.

All of it needs PyAV, the extra `video`, which is imported where a video is opened. This file
imports nothing, so that a command line can name the kinds of files at once.
"""

WRITTEN_SUFFIXES = (".mp4", ".m4v", ".mov")
"""Of files that `writing.VideoWriter` writes."""
