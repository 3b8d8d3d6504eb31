"""Run the `linesmith` command as `python -m linesmith`."""

import os
import sys

if __name__ == "__main__":
    # `-m` puts the working directory first, where a user's own `random.py` may lie; the command `linesmith` does not.
    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
        del sys.path[0]
    from linesmith.cli.app import main

    main()
