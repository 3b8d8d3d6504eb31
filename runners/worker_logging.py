"""Set the log levels of a worker process on this machine, which shares the driver's terminal.

Beam imports this module in each worker (`--beam_plugins`).
"""

from linesmith.core.library_logging import quiet_libraries, quiet_on_import

quiet_libraries()
quiet_on_import("tensorflow")
