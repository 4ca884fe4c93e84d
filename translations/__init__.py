"""What commands say in other languages: catalogues in ``p2pchat/cli/locale``, which people write and this checks."""
