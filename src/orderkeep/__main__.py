"""`python -m orderkeep`."""

from orderkeep.cli import main

if __name__ == "__main__":
    main()
