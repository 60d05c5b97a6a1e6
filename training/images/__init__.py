"""Autoencoders on images: reconstruction, denoising, one-class detection, PCA."""
