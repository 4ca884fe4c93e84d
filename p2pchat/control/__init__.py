"""The daemon's side of the socket: serving it, dispatching methods to services, rendering what they say."""
