"""A Kubernetes cluster for tests: API server, controllers and one node.

The official client talks to it over HTTP. It keeps to what Kubernetes 1.34
does with Jobs, pods, Secrets and events, as far as an analysis meets it; the
node really runs a pod's command, as a process with the pod's environment.
"""
