"""`python -m demure`: the shell, where its command is not on the path."""

from demure.cli import main

main()
