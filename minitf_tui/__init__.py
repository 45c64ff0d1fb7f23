"""The terminal side of minitf: the command line and the app."""
