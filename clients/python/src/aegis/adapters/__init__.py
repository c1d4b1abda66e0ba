"""Executors and wrappers for frameworks. Each module needs its framework: the extra of the same name installs it."""
