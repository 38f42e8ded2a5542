"""Datasets as an iterable of samples, whatever their layout: `samples.Sample` is what training and evaluation read."""
