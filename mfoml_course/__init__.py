"""Geometric wavelets, Besov smoothness and neural collapse: the course package."""

__version__ = "0.1.0"
