"""Home: what waits for whoever signed in."""
