"""The whole service: real daemon, code server, webserver and peers."""
