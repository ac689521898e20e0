"""A model behind HTTP on this machine: its page, and predictions by the Open Inference Protocol."""
