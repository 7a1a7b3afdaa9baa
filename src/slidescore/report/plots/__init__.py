"""Figures of the analyses: arrays in, a matplotlib Figure out; one plot a file, one style in `style`."""
