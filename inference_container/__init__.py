"""The inference container: bundles, preprocessing, serving, bulk, training and evaluation of segmentation models."""
