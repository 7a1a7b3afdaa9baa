"""The network: architecture, weights, devices, and the segmenter. Only this room and training import torch."""
