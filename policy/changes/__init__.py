"""How wanted becomes authorised (intent), and how observed becomes authorised (enforcement)."""
