# sqlcipher3 is sqlite3's C module linked against SQLCipher, with the same Python surface and no types of its own.
from sqlite3.dbapi2 import *
