"""An example: accounts, and a password reset that is mailed in the background."""
