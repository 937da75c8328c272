"""Labelled images: read, measured, and reported. What bounds are chosen by (calibrate.py) is measured here."""
