"""`python -m linesmith`: the same as the command."""

from linesmith.cli.app import main

if __name__ == "__main__":
    main()
