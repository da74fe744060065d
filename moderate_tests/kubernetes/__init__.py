"""A Kubernetes cluster for tests: API server, controllers and one node.

The official client talks to it over HTTP. It keeps to what Kubernetes 1.34
does with Jobs, pods, Secrets and events, as far as an analysis meets it; the
node really runs a pod's command, as a process with the pod's environment.

``kmock`` (0.8) was looked at first. It serves one event loop in the test's own
process, and has no resource versions (so no conflicts, and no watch that has
expired with code 410), no selectors, no immutable fields, no graceful
deletion, no logs and no controllers. What would be left of it is routing.
"""
