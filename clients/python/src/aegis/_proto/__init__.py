"""Generated from proto/aegis/v1 by clients/generate. Private: use the package `aegis`."""
