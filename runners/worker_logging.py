"""Beam imports this in each worker process it starts on this machine (`--beam_plugins`): the terminal is shared with them."""

from linesmith.core.library_logging import quiet_libraries, quiet_on_import

quiet_libraries()
quiet_on_import("tensorflow")
