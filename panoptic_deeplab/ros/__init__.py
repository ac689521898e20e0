"""ROS: images in messages, of a running ROS 2 system or of a bag; nothing here is a model."""
