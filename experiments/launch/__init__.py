"""How a program starts: its config, its folder, its progress."""
