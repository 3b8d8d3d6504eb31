"""Run the `linesmith` command as `python -m linesmith`."""

from linesmith.cli.app import main

if __name__ == "__main__":
    main()
