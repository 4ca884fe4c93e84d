"""What survives a restart: one SQLCipher file, its key file, and one small module an aggregate."""
