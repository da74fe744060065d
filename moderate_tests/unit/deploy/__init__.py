"""Images, compose file, charts' values, manifests, tasks and workflows."""
