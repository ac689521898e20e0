"""Published weights made this project's; see panoptic-deeplab weights convert."""
