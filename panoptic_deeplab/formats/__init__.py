"""Reading and writing ids, segments and pictures, and the ids that each data set uses."""
