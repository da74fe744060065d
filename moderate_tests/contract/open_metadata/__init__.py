"""OpenMetadata's contract: recorded answers, and the emulator beside them."""
