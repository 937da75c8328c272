"""What decode.py is made of: what a file is, what it may be, and how its samples become a picture."""
