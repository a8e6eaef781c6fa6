"""The built-in warehouses, one file each; the registry finds them, nothing imports them."""
