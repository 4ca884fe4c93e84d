"""The manual page, made of the commands themselves."""
