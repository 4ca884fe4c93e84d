"""What commands say in other languages: catalogues in ``p2pchat/api/locale``, which people write and this checks."""
