"""What our account may do in the cluster: the cluster itself says it."""

from collections.abc import Iterator, Mapping

from moderate.analyses.kubernetes_api import Cluster, Json

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

WANTED: Mapping[tuple[str, str, str], tuple[str, ...]] = {
    ("batch", "jobs", ""): (
        "create",
        "delete",
        "get",
        "list",
        "patch",
        "watch",
    ),
    ("", "pods", ""): ("delete", "get", "list", "patch", "watch"),
    ("", "pods", "log"): ("get",),
    ("", "events", ""): ("list",),
    ("", "secrets", ""): ("create", "delete", "patch"),
}
"""Verbs by API group, resource and part of it, as the analyses need them.

``helm-values/manifests/base/role.yaml`` grants them.
"""


def lacking_rights(cluster: Cluster) -> tuple[str, ...]:
    """Return what our account may not do, as ``VERB RESOURCE``.

    Raises:
        TemporaryError: The cluster can't be asked.
        PermanentError: It refuses to say.
    """
    return tuple(_lacking(cluster))


def _lacking(cluster: Cluster) -> Iterator[str]:
    for (group, resource, part), verbs in WANTED.items():
        for verb in verbs:
            asked = {
                "namespace": cluster.namespace,
                "group": group,
                "resource": resource,
                "subresource": part,
                "verb": verb,
            }
            answer = cluster.create(REVIEWS, _review(asked))
            if not (answer.get("status") or {}).get("allowed"):
                yield f"{verb} {resource}{part and '/' + part}"


def _review(asked: Json) -> Json:
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
