"""The API's endpoints, one module for each kind of thing."""
