"""`python -m linesmith`: the same as the command."""

from linesmith.cli import main

if __name__ == "__main__":
    main()
