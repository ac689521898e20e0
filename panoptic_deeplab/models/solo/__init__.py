"""SOLOv2's instance head (Wang et al., NeurIPS 2020, https://arxiv.org/abs/2003.10152).

Each cell of a grid over the image predicts a class and a kernel, a 1x1 convolution of features that
all cells share; what it gives is the mask of the instance whose center lies in the cell.
"""
