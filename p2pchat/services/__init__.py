"""One verb a module: the place where core, store and net meet inside one transaction."""
