"""The built-in destinations, one file each; the registry finds them, nothing imports them."""
