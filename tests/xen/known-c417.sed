# Nothing: every tree is the same.
