"""Video: frames read with their times, the newest frame of a camera, overlays written as H.264.

All of it needs PyAV, the extra `video`, which is imported where a video is opened.
"""
