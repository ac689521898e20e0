"""Reading and writing ids, segments and images, and the ids that each data set uses."""
