"""What the stress tests share: a small world to work on, commands, and their sudden ends."""
