"""What `aegis.adapters.playwright` is made of."""
