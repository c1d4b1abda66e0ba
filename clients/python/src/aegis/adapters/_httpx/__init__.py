"""What `aegis.adapters.httpx_adapter` is made of."""
