"""Rules of the local stack that need no running part."""
