"""Littoral: a self-hosted edge computing platform. One program for device, site, region and cloud."""

__version__ = "0.1.0"
